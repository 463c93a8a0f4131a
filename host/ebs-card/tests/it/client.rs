//! A small NBD client: simple or structured replies, any number of requests under way.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

pub const READ: u16 = 0;
pub const WRITE: u16 = 1;
pub const FLUSH: u16 = 3;
pub const TRIM: u16 = 4;
pub const ZERO: u16 = 6;
pub const FUA: u16 = 1;

pub struct Client {
    pub stream: UnixStream,
    pub size: u64,
    pub flags: u16,
}

pub fn option(number: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"IHAVEOPT".to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

pub fn go(name: &str) -> Vec<u8> {
    let mut data = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend([0, 0]);
    option(7, &data)
}

pub fn request(command: u16, flags: u16, cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend(command.to_be_bytes());
    bytes.extend(cookie.to_be_bytes());
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

impl Client {
    /// Opens an export with GO and simple replies; waits while no card accepts.
    pub fn open(socket: &Path, name: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        assert_eq!(&greeting[..16], b"NBDMAGICIHAVEOPT");
        stream.write_all(&3_u32.to_be_bytes())?;
        stream.write_all(&go(name))?;
        let mut client = Self { stream, size: 0, flags: 0 };
        loop {
            let (kind, data) = client.option_reply()?;
            match kind {
                1 => return Ok(client),
                3 if data[..2] == [0, 0] => {
                    client.size = u64::from_be_bytes(data[2..10].try_into().unwrap());
                    client.flags = u16::from_be_bytes(data[10..12].try_into().unwrap());
                }
                3 => {}
                error => return Err(io::Error::other(format!("refused: {error:#x}"))),
            }
        }
    }

    pub fn option_reply(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut header = [0; 20];
        self.stream.read_exact(&mut header)?;
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let mut data = vec![0; usize::try_from(number(16)).unwrap()];
        self.stream.read_exact(&mut data)?;
        Ok((number(12), data))
    }

    pub fn send(&mut self, header: &[u8], payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(header)?;
        self.stream.write_all(payload)
    }

    /// The next simple reply: cookie and error. The data of a read has to be read then.
    pub fn reply(&mut self) -> io::Result<(u64, u32)> {
        let mut header = [0; 16];
        self.stream.read_exact(&mut header)?;
        assert_eq!(header[..4], 0x6744_6698_u32.to_be_bytes());
        let error = u32::from_be_bytes(header[4..8].try_into().unwrap());
        Ok((u64::from_be_bytes(header[8..].try_into().unwrap()), error))
    }

    /// One request without data in the reply.
    pub fn ask(&mut self, header: &[u8], payload: &[u8]) -> io::Result<u32> {
        self.send(header, payload)?;
        Ok(self.reply()?.1)
    }

    pub fn read(&mut self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        self.send(&request(READ, 0, 1, offset, length), &[])?;
        let (_, error) = self.reply()?;
        if error != 0 {
            return Err(io::Error::other(format!("error {error}")));
        }
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut data)?;
        Ok(data)
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) -> u32 {
        let length = u32::try_from(data.len()).unwrap();
        self.ask(&request(WRITE, 0, 1, offset, length), data).unwrap()
    }

    pub fn flush(&mut self) -> u32 {
        self.ask(&request(FLUSH, 0, 2, 0, 0), &[]).unwrap()
    }
}
