//! A client of the public EC2 API, for the few commands that need one.

use crate::{paths::Paths, settings::Settings};
use anyhow::Context as _;
use http::{
    HeaderValue,
    header::{CONNECTION, CONTENT_TYPE, HOST},
};
use protocol::sigv4::{Body, Request, Signer};
use quick_xml::events::Event;
use std::{
    collections::HashMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use types::Timestamp;

const REGION: &str = "us-east-1";

/// A cloud's endpoint and a key for it.
pub struct Client {
    address: std::net::SocketAddr,
    key: String,
    secret: String,
}

/// The administrator's key, as the server left it.
pub fn credentials(paths: &Paths) -> anyhow::Result<(String, String)> {
    let path = paths.data.join("credentials");
    let text = fs::read_to_string(&path).with_context(|| {
        format!("read {}: was this cloud ever started? ('fogbank up')", path.display())
    })?;
    let values = text.lines().filter_map(|line| line.split_once('=')).collect::<HashMap<_, _>>();
    let value = |name: &str| {
        values.get(name).map(|value| (*value).to_owned()).with_context(|| format!("no {name}"))
    };
    Ok((value("AWS_ACCESS_KEY_ID")?, value("AWS_SECRET_ACCESS_KEY")?))
}

impl Client {
    /// A client of the cloud with this data.
    pub fn new(paths: &Paths) -> anyhow::Result<Self> {
        let settings = Settings::load(paths)?.context("no cloud: start one with 'fogbank up'")?;
        let (key, secret) = credentials(paths)?;
        Ok(Self { address: settings.listen, key, secret })
    }

    /// Calls an operation of EC2 in the default region; gives the answer's XML.
    pub fn ec2(&self, form: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let signer = Signer {
            access_key_id: &self.key,
            secret: &self.secret,
            session_token: None,
            region: REGION,
            service: "ec2",
        };
        let headers = [
            (HOST, HeaderValue::try_from(self.address.to_string())?),
            (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded")),
            (CONNECTION, HeaderValue::from_static("close")),
        ];
        let headers = headers.into_iter().collect();
        let request = Request { method: "POST", path: "/", query: "", headers: &headers };
        let time = Timestamp::from_millis(i64::try_from(now.as_millis())?);
        let headers = signer.sign(&request, Body::Bytes(form.as_bytes()), time)?;
        let request = Request { headers: &headers, ..request }.to_http(form.as_bytes());
        let reply = exchange(self.address, &request)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("the answer is cut off")?;
        anyhow::ensure!(
            head.split(' ').nth(1) == Some("200"),
            "{}: {}",
            element(body, "Code").unwrap_or_default(),
            element(body, "Message").unwrap_or_default()
        );
        Ok(body.to_owned())
    }
}

/// Sends an HTTP request and reads to the end of the connection.
pub fn exchange(address: std::net::SocketAddr, request: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
        .with_context(|| format!("connect to {address}: is the cloud running? ('fogbank up')"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(request)?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// The text of the first element with this name.
pub fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).into_iter().next()
}

/// The texts of all elements with this name.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut inside = false;
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap_or(Event::Eof) {
            Event::Start(start) => inside = start.name().as_ref() == name,
            Event::Text(text) if inside => found.push(text.to_string()),
            Event::End(_) => inside = false,
            Event::Eof => return found,
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}
