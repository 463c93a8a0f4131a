//! The VPC's resolver: names of the VPC's ports from the card's own tables, the rest forwarded.

use crate::engine::{Engine, Port, packet::word};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use types::VpcId;

/// Longest name in text form.
const MAX_NAME: usize = 255;
/// How long answers about ports may be kept, in seconds.
const TTL_SECONDS: u32 = 60;

/// The longest UDP answer to a client that names no other.
const UDP_LIMIT: usize = 512;
/// Records of a query that are looked through for the client's limit.
const MAX_RECORDS: u16 = 8;

const A: u16 = 1;
const SOA: u16 = 6;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const IN: u16 = 1;

const NO_ERROR: u8 = 0;
/// The query cannot be read.
const FORMAT_ERROR: u8 = 1;
/// Nobody could be asked.
pub const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// A query's only question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name in lower case, without the last dot.
    name: String,
    kind: u16,
    class: u16,
    /// Where the question ends in the message.
    end: usize,
}

/// What becomes of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The reply was made.
    Reply,
    /// Others are to be asked.
    Forward,
    /// It is no query.
    Ignore,
}

/// Reads a query's header and question.
fn parse(query: &[u8]) -> Result<Question, u8> {
    if query.get(2).is_some_and(|flags| flags & 0x78 != 0) {
        return Err(NOT_IMPLEMENTED);
    }
    if word(query, 4) != Some(1) {
        return Err(FORMAT_ERROR);
    }
    let mut name = String::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at).ok_or(FORMAT_ERROR)?);
        at += 1;
        if len == 0 {
            break;
        }
        // A question's name comes first, so that there is nothing that it could point to.
        let label = query.get(at..at + len).filter(|_| len < 64).ok_or(FORMAT_ERROR)?;
        at += len;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|&byte| match byte {
            b'!'..=b'~' if byte != b'.' => char::from(byte.to_ascii_lowercase()),
            // No name of ours has such a byte.
            _ => '\u{fffd}',
        }));
        if name.chars().count() > MAX_NAME {
            return Err(FORMAT_ERROR);
        }
    }
    let kind = word(query, at).ok_or(FORMAT_ERROR)?;
    let class = word(query, at + 2).ok_or(FORMAT_ERROR)?;
    Ok(Question { name, kind, class, end: at + 4 })
}

/// Where a query's question ends.
#[must_use]
pub fn question_end(query: &[u8]) -> Option<usize> {
    parse(query).ok().map(|question| question.end)
}

/// The longest answer that a client takes by UDP, in bytes: what its OPT record says, or 512.
#[must_use]
pub fn udp_limit(query: &[u8]) -> usize {
    let size = || {
        let mut at = question_end(query)?;
        // Queries have no records but additional ones.
        if (word(query, 6)?, word(query, 8)?) != (0, 0) {
            return None;
        }
        for _ in 0..word(query, 10)?.min(MAX_RECORDS) {
            at = name_end(query, at)?;
            let (kind, class, len) = (word(query, at)?, word(query, at + 2)?, word(query, at + 8)?);
            if kind == OPT {
                return Some(usize::from(class));
            }
            at += 10 + usize::from(len);
        }
        None
    };
    size().unwrap_or(UDP_LIMIT).max(UDP_LIMIT)
}

/// Where a record's name ends.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len @ 1..64 => at += 1 + usize::from(len),
            // A pointer ends a name.
            0xc0.. => return Some(at + 2),
            64..0xc0 => return None,
        }
    }
}

/// Cuts an answer that is longer than the client takes by UDP to its question, and says so: the
/// client asks again by TCP.
pub fn truncate(query: &[u8], reply: &mut Vec<u8>, limit: usize) {
    if reply.len() <= limit {
        return;
    }
    // An answer repeats the question.
    reply.truncate(question_end(query).filter(|&end| end <= limit).unwrap_or(12));
    let questions = u16::from(reply.len() > 12);
    if let Some(header) = reply.get_mut(..12) {
        header[2] |= 2;
        header[4..6].copy_from_slice(&questions.to_be_bytes());
        header[6..12].fill(0);
    }
}

/// Answers a port's query if it can be answered from the card's own tables.
pub fn answer(engine: &Engine, port: &Port, query: &[u8], reply: &mut Vec<u8>) -> Answer {
    if query.len() < 12 || query.get(2).is_none_or(|flags| flags & 0x80 != 0) {
        return Answer::Ignore;
    }
    let question = match parse(query) {
        Ok(question) => question,
        Err(code) => {
            refuse(query, code, reply);
            return Answer::Reply;
        }
    };
    match lookup(engine, port, &question) {
        Found::Elsewhere => return Answer::Forward,
        Found::NoName(zone) => compose(query, &question, NO_SUCH_NAME, Record::Soa(&zone), reply),
        Found::NoRecord(zone) => compose(query, &question, NO_ERROR, Record::Soa(&zone), reply),
        Found::Address(address) => {
            compose(query, &question, NO_ERROR, Record::Address(address), reply);
        }
        Found::Name(name) => compose(query, &question, NO_ERROR, Record::Name(&name), reply),
    }
    Answer::Reply
}

/// A reply without records: the query's header and question, with a code.
pub fn refuse(query: &[u8], code: u8, reply: &mut Vec<u8>) {
    reply.clear();
    let question = parse(query).ok();
    let end = question.as_ref().map_or(12, |question| question.end);
    reply.extend_from_slice(query.get(..end).unwrap_or_default());
    header(reply, code, u16::from(question.is_some()), 0, 0);
}

fn header(reply: &mut [u8], code: u8, questions: u16, answers: u16, authorities: u16) {
    if let Some(header) = reply.get_mut(..12) {
        // A reply, of the query's opcode and its wish for recursion, which is available.
        header[2] = 0x80 | (header[2] & 0x79);
        header[3] = 0x80 | code;
        header[4..6].copy_from_slice(&questions.to_be_bytes());
        header[6..8].copy_from_slice(&answers.to_be_bytes());
        header[8..10].copy_from_slice(&authorities.to_be_bytes());
        header[10..12].copy_from_slice(&[0, 0]);
    }
}

enum Found {
    Address(IpAddr),
    Name(String),
    /// The name is in this zone of ours, and doesn't exist.
    NoName(String),
    /// The name exists, without a record of this type.
    NoRecord(String),
    Elsewhere,
}

fn lookup(engine: &Engine, port: &Port, question: &Question) -> Found {
    let Some(vpc) = &port.vpc else { return Found::Elsewhere };
    if question.class != IN {
        return Found::Elsewhere;
    }
    let service = port.config.services.iter().find(|service| service.has_name(&question.name));
    if let Some(service) = service {
        return if question.kind == kind_of(service.address) {
            Found::Address(service.address)
        } else {
            Found::NoRecord(question.name.clone())
        };
    }
    let under = |domain: &str| {
        let rest = question.name.strip_suffix(&domain.to_ascii_lowercase())?;
        rest.strip_suffix('.').map(str::to_owned)
    };
    if let Some(host) = under(&vpc.private_domain) {
        let zone = vpc.private_domain.clone();
        return match host_by_name(engine, vpc.id, &host) {
            Some(host) => host.of_kind(question.kind).map_or(Found::NoRecord(zone), Found::Address),
            None => Found::NoName(zone),
        };
    }
    if let Some(host) = under(&vpc.public_domain)
        && vpc.dns_hostnames
        && let Some(public) = dashed(&host, "ec2-")
    {
        let behind = engine.known_as(public).and_then(|public| {
            let (index, private) = engine.by_public(public.into())?;
            // From inside the VPC a public name leads to the private address.
            let inside = engine.port(index)?.config.port.vpc == vpc.id;
            Some(if inside { private } else { public })
        });
        return match behind {
            Some(address) if question.kind == A => Found::Address(address.into()),
            Some(_) => Found::NoRecord(vpc.public_domain.clone()),
            None => Found::Elsewhere,
        };
    }
    if let Some(address) = reverse(&question.name)
        && vpc.cidrs.iter().any(|cidr| cidr.contains(&address))
    {
        let zone = "in-addr.arpa".to_owned();
        return match name_of(engine, vpc.id, address) {
            Some(name) if question.kind == PTR => {
                Found::Name(format!("{name}.{}", vpc.private_domain))
            }
            Some(_) => Found::NoRecord(zone),
            None => Found::NoName(zone),
        };
    }
    if let Some(address) = reverse6(&question.name)
        && vpc.ipv6_cidrs.iter().any(|cidr| cidr.contains(&address))
    {
        let zone = "ip6.arpa".to_owned();
        let port = engine.by_address(vpc.id, address.into()).and_then(|at| engine.port(at));
        return match port.map(|port| &port.config.port) {
            Some(port) if question.kind == PTR => {
                let name = port.resource_name.as_ref().map_or(&port.host_name, |name| &name.name);
                Found::Name(format!("{name}.{}", vpc.private_domain))
            }
            Some(_) => Found::NoRecord(zone),
            None => Found::NoName(zone),
        };
    }
    Found::Elsewhere
}

/// A host's addresses, as far as its name leads to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Host {
    four: Option<Ipv4Addr>,
    six: Option<Ipv6Addr>,
}

impl Host {
    fn of_kind(self, kind: u16) -> Option<IpAddr> {
        match kind {
            A => self.four.map(IpAddr::V4),
            AAAA => self.six.map(IpAddr::V6),
            _ => None,
        }
    }
}

/// The kind of record that has this address.
fn kind_of(address: IpAddr) -> u16 {
    if address.is_ipv6() { AAAA } else { A }
}

/// The addresses of a host of the VPC: by the name that goes with an address, by the one that
/// follows from its instance's ID, or by a port's own.
fn host_by_name(engine: &Engine, vpc: VpcId, host: &str) -> Option<Host> {
    if let Some(address) = dashed(host, "ip-") {
        let known = engine.by_address(vpc, address.into())?;
        return engine.port(known).map(|_| Host { four: Some(address), six: None });
    }
    let mut ports = engine.ports().map(|(_, port)| &port.config.port);
    ports.find_map(|port| {
        let four = port.addresses.first().map(|address| address.private);
        let six = port.ipv6.first().copied();
        let is = |name: &str| name.eq_ignore_ascii_case(host);
        match &port.resource_name {
            _ if port.vpc != vpc => None,
            Some(told) if is(&told.name) => {
                // A name without any record doesn't exist.
                let host = Host { four: four.filter(|_| told.a), six: six.filter(|_| told.aaaa) };
                (told.a || told.aaaa || is(&port.host_name)).then_some(host)
            }
            Some(_) | None => is(&port.host_name).then_some(Host { four, six: None }),
        }
    })
}

fn name_of(engine: &Engine, vpc: VpcId, address: Ipv4Addr) -> Option<String> {
    let port = &engine.port(engine.by_address(vpc, address.into())?)?.config.port;
    let primary = port.addresses.first().is_some_and(|own| own.private == address);
    if primary && !port.host_name.is_empty() {
        return Some(port.host_name.clone());
    }
    let [a, b, c, d] = address.octets();
    Some(format!("ip-{a}-{b}-{c}-{d}"))
}

/// The address in a name such as `ip-10-0-0-1`.
fn dashed(host: &str, prefix: &str) -> Option<Ipv4Addr> {
    host.strip_prefix(prefix)?.replace('-', ".").parse().ok()
}

/// The address in a name such as `1.0.0.10.in-addr.arpa`.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
    let [a, b, c, d] = address.octets();
    Some(Ipv4Addr::new(d, c, b, a))
}

/// The address in a name such as `1.0.0. … .d.f.ip6.arpa`, of 32 digits.
fn reverse6(name: &str) -> Option<Ipv6Addr> {
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut address = 0_u128;
    let mut count = 0;
    for digit in digits.rsplit('.') {
        let &[digit] = digit.as_bytes() else { return None };
        address = (address << 4) | u128::from(char::from(digit).to_digit(16)?);
        count += 1;
    }
    (count == 32).then_some(Ipv6Addr::from(address))
}

enum Record<'a> {
    Address(IpAddr),
    Name(&'a str),
    Soa(&'a str),
}

fn compose(query: &[u8], question: &Question, code: u8, record: Record<'_>, reply: &mut Vec<u8>) {
    reply.clear();
    reply.extend_from_slice(query.get(..question.end).unwrap_or_default());
    let (kind, body, owner) = match record {
        Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec(), None),
        Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec(), None),
        Record::Name(name) => (PTR, encode(name), None),
        Record::Soa(zone) => {
            let mut body = encode(&format!("ns0.{zone}"));
            body.extend(encode(&format!("hostmaster.{zone}")));
            for number in [1, 3600, 3600, 86_400, TTL_SECONDS] {
                body.extend_from_slice(&u32::to_be_bytes(number));
            }
            (SOA, body, Some(encode(zone)))
        }
    };
    let answers = u16::from(owner.is_none());
    // A pointer to the question's name.
    reply.extend(owner.unwrap_or_else(|| vec![0xc0, 12]));
    for number in [kind, IN] {
        reply.extend_from_slice(&number.to_be_bytes());
    }
    reply.extend_from_slice(&TTL_SECONDS.to_be_bytes());
    let len = u16::try_from(body.len()).unwrap_or_default();
    reply.extend_from_slice(&len.to_be_bytes());
    reply.extend(body);
    header(reply, code, 1, answers, 1 - answers);
}

/// A name in wire form; labels that are too long are cut.
pub fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes();
        let label = label.get(..63).unwrap_or(label);
        bytes.push(u8::try_from(label.len()).unwrap_or_default());
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}
