//! A small S3 client that costs little beside what it measures. It signs each request, leaves the
//! body unsigned, and acknowledges at once, so that no server's small writes wait for it.

use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, header::HOST};
use protocol::sigv4::{Body, Request, Signer};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::linux::net::TcpStreamExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where a server listens, and a key for it.
#[derive(Clone, Debug)]
pub struct Access {
    pub address: SocketAddr,
    pub key: String,
    pub secret: String,
    pub region: String,
}

/// An answer: its status, `ETag`, and the body where it was asked for.
#[derive(Debug)]
pub struct Answer {
    pub etag: String,
    pub body: Vec<u8>,
    /// The body's length in bytes, also if it was thrown away.
    pub len: u64,
}

/// One connection.
pub struct Client {
    access: Access,
    stream: BufReader<TcpStream>,
    sink: Vec<u8>,
}

impl Client {
    /// Connects.
    pub fn connect(access: &Access) -> Result<Self> {
        let stream = TcpStream::connect(access.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        let stream = BufReader::with_capacity(256 << 10, stream);
        Ok(Self { access: access.clone(), stream, sink: vec![0; 256 << 10] })
    }

    /// A request whose answer must be a success.
    ///
    /// `path` and `query` are encoded already; `keep` says whether the answer's body is wanted.
    pub fn send(
        &mut self,
        (method, path, query): (&str, &str, &str),
        body: &[u8],
        keep: bool,
    ) -> Result<Answer> {
        let host = HeaderValue::try_from(self.access.address.to_string())?;
        let headers = [(HOST, host)].into_iter().collect();
        let request = Request { method, path, query, headers: &headers };
        let signer = Signer {
            access_key_id: &self.access.key,
            secret: &self.access.secret,
            session_token: None,
            region: &self.access.region,
            service: "s3",
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let now = types::Timestamp::from_millis(i64::try_from(now.as_millis())?);
        let headers = signer.sign(&request, Body::Unsigned, now)?;
        let mut head = format!("{method} {path}?{query} HTTP/1.1\r\n");
        for (name, value) in &headers {
            head += &format!("{name}: {}\r\n", value.to_str()?);
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        let mut head = head.into_bytes();
        if body.len() <= 64 << 10 {
            head.extend_from_slice(body);
            self.stream.get_mut().write_all(&head)?;
        } else {
            self.stream.get_mut().write_all(&head)?;
            self.stream.get_mut().write_all(body)?;
        }
        self.stream.get_ref().set_quickack(true)?;
        self.answer(keep).with_context(|| format!("{method} {path}?{query}"))
    }

    fn answer(&mut self, keep: bool) -> Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (mut length, mut chunked, mut etag) = (None, false, String::new());
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "the answer is cut off");
            let Some((name, value)) = line.trim().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse::<u64>()?),
                "transfer-encoding" => chunked = value == "chunked",
                "etag" => etag = value.to_owned(),
                _ => {}
            }
        }
        let good = matches!(status.as_str(), "200" | "204" | "206");
        let mut answer = Answer { etag, body: Vec::new(), len: 0 };
        match length {
            Some(length) => self.take(length, keep || !good, &mut answer)?,
            None if chunked => loop {
                line.clear();
                self.stream.read_line(&mut line)?;
                let length = u64::from_str_radix(line.trim(), 16)?;
                self.take(length, keep || !good, &mut answer)?;
                line.clear();
                self.stream.read_line(&mut line)?;
                if length == 0 {
                    break;
                }
            },
            None => {}
        }
        ensure!(good, "answered {status}: {}", String::from_utf8_lossy(&answer.body));
        Ok(answer)
    }

    fn take(&mut self, mut length: u64, keep: bool, answer: &mut Answer) -> Result<()> {
        answer.len += length;
        if keep {
            let got = (&mut self.stream).take(length).read_to_end(&mut answer.body)?;
            ensure!(got as u64 == length, "the answer is cut off");
            return Ok(());
        }
        while length > 0 {
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(self.sink.len());
            let got = self.stream.read(&mut self.sink[..most])?;
            ensure!(got > 0, "the answer is cut off");
            length -= got as u64;
        }
        Ok(())
    }
}
