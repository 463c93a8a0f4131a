//! One question to one resolver, on a socket of its own that never blocks.

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with},
};
use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

/// The longest message.
const MAX_MESSAGE: usize = 65_535;

/// A question that was sent, or is being sent.
#[derive(Debug)]
pub enum Asked {
    Datagram(UdpSocket),
    Stream {
        stream: TcpStream,
        /// What of the question is still to be sent, with its length before it.
        unsent: Vec<u8>,
        /// What of the reply has come, with its length before it.
        reply: Vec<u8>,
    },
}

impl Asked {
    /// Asks by UDP.
    pub fn by_datagram(resolver: SocketAddr, query: &[u8]) -> io::Result<Self> {
        let any = match resolver {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(resolver)?;
        socket.send(query)?;
        Ok(Self::Datagram(socket))
    }

    /// Asks by TCP: the question is sent by `receive`, once the connection is made.
    pub fn by_stream(resolver: SocketAddr, query: &[u8]) -> io::Result<Self> {
        let family = match resolver {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &resolver) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let length = u16::try_from(query.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let unsent = [&length.to_be_bytes(), query].concat();
        Ok(Self::Stream { stream: TcpStream::from(socket), unsent, reply: Vec::new() })
    }

    /// Whether it goes by TCP.
    pub fn is_stream(&self) -> bool {
        matches!(self, Self::Stream { .. })
    }

    /// Goes on; whether the reply is there.
    pub fn receive(&mut self, message: &mut Vec<u8>) -> io::Result<bool> {
        match self {
            Self::Datagram(socket) => {
                message.resize(MAX_MESSAGE, 0);
                match socket.recv(message) {
                    Ok(len) => message.truncate(len),
                    Err(error) if waits(&error) => return Ok(false),
                    Err(error) => return Err(error),
                }
                Ok(true)
            }
            Self::Stream { stream, unsent, reply } => {
                while !unsent.is_empty() {
                    match stream.write(unsent) {
                        Ok(len) => drop(unsent.drain(..len)),
                        Err(error) if waits(&error) => return Ok(false),
                        Err(error) => return Err(error),
                    }
                }
                read_message(stream, reply, message)
            }
        }
    }
}

fn read_message(
    stream: &mut TcpStream,
    reply: &mut Vec<u8>,
    message: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    loop {
        if let Some((length, rest)) = reply.split_first_chunk::<2>()
            && let Some(whole) = rest.get(..usize::from(u16::from_be_bytes(*length)))
        {
            message.clear();
            message.extend_from_slice(whole);
            return Ok(true);
        }
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => reply.extend_from_slice(bytes.get(..len).unwrap_or_default()),
            Err(error) if waits(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the socket tells us when to go on; one whose connection isn't made yet does.
fn waits(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}

impl AsFd for Asked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagram(socket) => socket.as_fd(),
            Self::Stream { stream, .. } => stream.as_fd(),
        }
    }
}
