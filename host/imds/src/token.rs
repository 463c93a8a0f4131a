//! Session tokens: stateless, so that they survive a restart of whoever answers.
//!
//! A token is `version · expiry (seconds, big endian) · HMAC-SHA256(instance, expiry)` in URL-safe
//! base64; its key is the caller's secret, so a token is good for one instance and nothing else.

use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use types::{InstanceId, Timestamp};

/// The longest life of a token, in seconds: AWS's six hours.
pub const MAX_TTL_S: i64 = 21_600;
const VERSION: u8 = 1;
const SIGNED: usize = 1 + 8;
const LENGTH: usize = SIGNED + 32;

fn mac(secret: &[u8; 32], instance: InstanceId, signed: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(b"imds-token\0");
    mac.update(instance.to_string().as_bytes());
    mac.update(signed);
    Some(mac)
}

/// The TTL that a request's header asks for: 1 to [`MAX_TTL_S`] in plain digits.
pub(crate) fn parse_ttl(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|ttl| (1..=MAX_TTL_S).contains(ttl))
}

/// A token of this instance that lives so long.
pub(crate) fn issue(
    secret: &[u8; 32],
    instance: InstanceId,
    now: Timestamp,
    ttl_s: i64,
) -> Option<String> {
    let expiry = now.millis().div_euclid(1000) + ttl_s;
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[1..SIGNED].copy_from_slice(&expiry.to_be_bytes());
    let tag = mac(secret, instance, &bytes[..SIGNED])?.finalize().into_bytes();
    bytes[SIGNED..].copy_from_slice(&tag);
    Some(URL_SAFE.encode(bytes))
}

/// The seconds that a token has left; None if it is not ours, another instance's, or expired.
pub(crate) fn seconds_left(
    secret: &[u8; 32],
    instance: InstanceId,
    now: Timestamp,
    token: &str,
) -> Option<i64> {
    if token.len() > 2 * LENGTH {
        return None;
    }
    let bytes: [u8; LENGTH] = URL_SAFE.decode(token).ok()?.try_into().ok()?;
    let (signed, tag) = bytes.split_at(SIGNED);
    mac(secret, instance, signed)?.verify_slice(tag).ok()?;
    let expiry = i64::from_be_bytes(signed[1..].try_into().ok()?);
    let left = expiry - now.millis().div_euclid(1000);
    (left > 0).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::ResourceId as _;

    #[test]
    fn good_for_one_instance_and_its_time() {
        let (one, other) = (InstanceId::from_number(1), InstanceId::from_number(2));
        let now = Timestamp::from_millis(1_800_000_000_123);
        let token = issue(&[7; 32], one, now, 60).unwrap();
        assert_eq!(token.len(), 56);
        let left = |secret: &[u8; 32], instance, now| seconds_left(secret, instance, now, &token);
        assert_eq!(left(&[7; 32], one, now), Some(60));
        assert_eq!(left(&[7; 32], one, now.plus_millis(59_000)), Some(1));
        assert_eq!(left(&[7; 32], one, now.plus_millis(60_000)), None);
        assert_eq!(left(&[7; 32], other, now), None);
        assert_eq!(left(&[8; 32], one, now), None);
        for at in 0..token.len() {
            let mut bad = token.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).unwrap();
            assert_eq!(seconds_left(&[7; 32], one, now, &bad), None, "{at}");
        }
    }

    #[test]
    fn ttl_range() {
        for (text, ttl) in [("1", Some(1)), ("21600", Some(21_600)), (" 60 ", Some(60))] {
            assert_eq!(parse_ttl(text), ttl);
        }
        for bad in ["", "0", "-1", "+5", "21601", "99999", "999999999999", "6e1", "1.0", "x"] {
            assert_eq!(parse_ttl(bad), None, "{bad}");
        }
    }
}
