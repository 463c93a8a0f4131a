//! Where a connection comes from: the line that opens one between our processes.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};
use tokio::io::AsyncReadExt as _;

/// The longest such line, in bytes.
pub(crate) const MAX_LINE: usize = 128;

/// Where a connection comes from; as a line: `WHO ADDRESS PORT\n`, with a guest's VPC and `tls` after
/// it where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The guest's network interface, if it is a guest's connection.
    pub interface: Option<String>,
    /// The client's address; a guest's is its private one.
    pub address: SocketAddr,
    /// The guest's VPC.
    pub vpc: Option<String>,
    /// Whether it came over TLS, which ended in the process that passes it on.
    pub secure: bool,
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        Self { interface: None, address, vpc: None, secure: false }
    }
}

impl Default for Source {
    /// This machine.
    fn default() -> Self {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.interface.as_deref().unwrap_or("-");
        write!(f, "{who} {} {}", self.address.ip(), self.address.port())?;
        if let Some(vpc) = &self.vpc {
            write!(f, " {vpc}")?;
        }
        f.write_str(if self.secure { " tls\n" } else { "\n" })
    }
}

impl FromStr for Source {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "no line about the source");
        let mut words = line.split_ascii_whitespace();
        let (Some(who), Some(address), Some(port)) = (words.next(), words.next(), words.next())
        else {
            return Err(bad());
        };
        let mut words = words.peekable();
        let vpc = words.next_if(|word| word.starts_with("vpc-"));
        let secure = words.next_if_eq(&"tls");
        if words.next().is_some() {
            return Err(bad());
        }
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let port: u16 = port.parse().map_err(|_| bad())?;
        Ok(Self {
            interface: (who != "-").then(|| who.to_owned()),
            address: (address, port).into(),
            vpc: vpc.map(str::to_owned),
            secure: secure.is_some(),
        })
    }
}

impl Source {
    /// Reads the line that opens a connection, and nothing beyond it.
    ///
    /// # Errors
    /// The connection fails or ends, or begins with something else.
    pub async fn read(stream: &mut tokio::net::UnixStream) -> io::Result<Self> {
        let mut line = Vec::with_capacity(MAX_LINE);
        // By single bytes, since what follows is somebody else's: the line is short, and there.
        while line.last() != Some(&b'\n') {
            if line.len() >= MAX_LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
            }
            line.push(stream.read_u8().await?);
        }
        String::from_utf8_lossy(&line).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[test]
    fn a_line_gives_back_its_source() {
        let guest = Source {
            interface: Some("eni-0123456789abcdef0".into()),
            address: ([172, 31, 0, 5], 40_000).into(),
            vpc: Some("vpc-0123456789abcdef0".into()),
            secure: false,
        };
        let both = Source { secure: true, ..guest.clone() };
        let secure = Source { secure: true, ..Source::default() };
        let six = Source::from(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1)));
        for source in [guest, both, six, secure, Source::default()] {
            assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
        }
        for bad in [
            "",
            "- 1.2.3.4",
            "- 1.2.3.4 65536",
            "- host 1",
            "- 1.2.3.4 1 more",
            "- 1.2.3.4 1 tls vpc-1",
        ] {
            assert!(bad.parse::<Source>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_follows_the_line_stays() {
        let (mut one, mut other) = tokio::net::UnixStream::pair().unwrap();
        one.write_all(b"- 10.0.0.1 7\nGET").await.unwrap();
        drop(one);
        let source = Source::read(&mut other).await.unwrap();
        assert_eq!(source.address, ([10, 0, 0, 1], 7).into());
        let mut rest = String::new();
        other.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "GET");
    }
}
