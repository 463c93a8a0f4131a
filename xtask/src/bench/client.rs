//! A small HTTP client that costs little beside what it measures: requests are signed once.

use anyhow::{Context as _, Result, ensure};
use http::{
    HeaderValue,
    header::{CONTENT_TYPE, HOST},
};
use protocol::sigv4::{Body, Request, Signer};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A signed call of EC2, ready to be sent; good for 15 minutes.
pub fn call(address: SocketAddr, (key, secret): (&str, &str), form: &str) -> Result<Vec<u8>> {
    let form = format!("{form}&Version=2016-11-15");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let signer = Signer {
        access_key_id: key,
        secret,
        session_token: None,
        region: "us-east-1",
        service: "ec2",
    };
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    let headers = [(HOST, HeaderValue::try_from(address.to_string())?), (CONTENT_TYPE, form_type)];
    let headers = headers.into_iter().collect();
    let request = Request { method: "POST", path: "/", query: "", headers: &headers };
    let time = types::Timestamp::from_millis(i64::try_from(now.as_millis())?);
    let headers = signer.sign(&request, Body::Bytes(form.as_bytes()), time)?;
    Ok(Request { headers: &headers, ..request }.to_http(form.as_bytes()))
}

/// A connection that is kept while the server keeps it.
pub struct Connection {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    /// A connection to be made at the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request and reads the whole answer, which must be a 200.
    pub fn send(&mut self, request: &[u8]) -> Result<String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(Duration::from_secs(300)))?;
                BufReader::new(stream)
            }
        };
        stream.get_mut().write_all(request)?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let good = line.split(' ').nth(1) == Some("200");
        let (mut length, mut keep) = (None, line.starts_with("HTTP/1.1"));
        loop {
            line.clear();
            ensure!(stream.read_line(&mut line)? > 0, "the answer is cut off");
            let header = line.trim().to_ascii_lowercase();
            match header.split_once(':') {
                None => break,
                Some(("content-length", value)) => length = Some(value.trim().parse::<u64>()?),
                Some(("connection", value)) => keep = value.trim() == "keep-alive",
                Some(_) => {}
            }
        }
        let mut body = String::new();
        match length {
            Some(length) => (&mut stream).take(length).read_to_string(&mut body)?,
            None => stream.read_to_string(&mut body)?,
        };
        ensure!(good, "a call failed: {body}");
        if keep && length.is_some() {
            self.stream = Some(stream);
        }
        Ok(body)
    }
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests each second.
    pub rate: f64,
    /// Median time of a request, ms.
    pub p50_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
}

/// Sends a request over and over on some connections, for a time, but not more often than `most`.
pub fn load(
    address: SocketAddr,
    request: &[u8],
    connections: usize,
    time: Duration,
    most: usize,
) -> Result<Load> {
    let began = Instant::now();
    let workers = (0..connections).map(|_| {
        let request = request.to_vec();
        std::thread::spawn(move || -> Result<Vec<f64>> {
            let mut connection = Connection::new(address);
            let mut times = Vec::new();
            while times.is_empty() || began.elapsed() < time && times.len() < most / connections {
                let sent = Instant::now();
                connection.send(&request)?;
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(times)
        })
    });
    let workers = workers.collect::<Vec<_>>();
    let mut times = Vec::new();
    for worker in workers {
        let own = worker.join().ok().context("a worker panicked")??;
        times.extend(own);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(f64::NAN);
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is small")]
    let rate = times.len() as f64 / seconds;
    Ok(Load { rate, p50_ms: at(50), p99_ms: at(99) })
}
