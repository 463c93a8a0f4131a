//! Kinds of traffic as rules of security groups and network ACLs name them.

use crate::errors;
use serde::{Deserialize, Serialize};
use shapes::Fault;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// An IP protocol; AWS writes `-1`, `tcp`, `udp`, `icmp`, `icmpv6` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    All,
    Number(u8),
}

/// A protocol with the first and last port, or the ICMP type and code; none = all.
pub type Traffic = (Protocol, Option<i32>, Option<i32>);

/// Checks a protocol with its ports, or type and code, and writes it in one way.
///
/// # Errors
/// The protocol is unknown, or its ports or type and code can't be.
pub fn traffic(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<Traffic, Fault> {
    let invalid = |message: String| Err(errors::invalid_parameter_value(message));
    let number = match protocol.to_ascii_lowercase().as_str() {
        "-1" | "all" => return Ok((Protocol::All, None, None)),
        "tcp" => TCP,
        "udp" => UDP,
        "icmp" => ICMP,
        "icmpv6" => ICMPV6,
        text => match text.parse::<u8>() {
            Ok(number) => number,
            Err(_) => {
                return invalid(format!(
                    "Invalid value '{protocol}' for IP protocol. Unknown protocol."
                ));
            }
        },
    };
    let kept = match number {
        TCP | UDP => {
            let ports = 0..=i32::from(u16::MAX);
            let (Some(from), Some(to)) = (from, to) else {
                return invalid("Must specify both from and to ports with TCP/UDP.".to_owned());
            };
            if let Some(port) = [from, to].into_iter().find(|port| !ports.contains(port)) {
                return invalid(format!("TCP/UDP port ({port}) out of range"));
            }
            if from > to {
                return invalid(format!("Invalid TCP/UDP port range ({from}:{to})"));
            }
            (Some(from), Some(to))
        }
        ICMP | ICMPV6 => {
            let values = -1..=i32::from(u8::MAX);
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !values.contains(&kind) {
                return invalid(format!("ICMP type ({kind}) out of range"));
            }
            if !values.contains(&code) {
                return invalid(format!("ICMP code ({code}) out of range"));
            }
            if kind == -1 && code != -1 {
                return invalid(format!("ICMP code ({code}) must be -1 if the type is -1"));
            }
            (Some(kind).filter(|kind| *kind >= 0), Some(code).filter(|code| *code >= 0))
        }
        // Rules of other protocols are about all of their traffic.
        _ => (None, None),
    };
    Ok((Protocol::Number(number), kept.0, kept.1))
}
