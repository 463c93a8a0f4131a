//! The canonical form of a request, over which its signature is made.

use std::fmt::Write;

use super::{Request, SigV4Error, incomplete};
use crate::form::percent_decoded;

/// The canonical request but for the payload's hash. S3 signs paths as they are; all others normalize
/// them and encode them once more.
pub fn request(
    request: &Request<'_>,
    signed: &[&str],
    query: &str,
    s3: bool,
) -> Result<String, SigV4Error> {
    let path =
        if s3 { as_sent(request.path) } else { encoded(normalized(request.path).as_bytes(), true) };
    let mut text = format!("{}\n{path}\n{}\n", request.method, canonical_query(query));
    for name in signed {
        let values: Vec<String> = request
            .headers
            .get_all(*name)
            .iter()
            .map(|value| folded(&String::from_utf8_lossy(value.as_bytes())))
            .collect();
        if values.is_empty() {
            return Err(incomplete(&format!("The signed header '{name}' is not in the request.")));
        }
        let _ = writeln!(text, "{name}:{}", values.join(","));
    }
    let _ = write!(text, "\n{}\n", signed.join(";"));
    Ok(text)
}

fn as_sent(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { path.to_owned() }
}

/// Without `.`, `..` and doubled slashes.
fn normalized(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    let mut normalized = format!("/{}", segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        normalized.push('/');
    }
    normalized
}

/// Sorted by encoded name, then encoded value, without the signature itself.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (reencoded(name), reencoded(value)))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Text in the one encoding that signatures know; text whose encoding is broken as it is.
fn reencoded(text: &str) -> String {
    let bytes = percent_decoded(text.as_bytes(), false);
    encoded(&bytes.unwrap_or_else(|| text.as_bytes().to_vec()), false)
}

fn encoded(bytes: &[u8], keep_slashes: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(*byte));
            }
            b'/' if keep_slashes => text.push('/'),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

/// Trimmed, with runs of white space as one space.
fn folded(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a/./b/../c/", "/a/c/"),
            ("/../..", "/"),
            ("/a//b", "/a/b"),
        ] {
            assert_eq!(normalized(path), expected, "{path}");
        }
    }

    #[test]
    fn queries_are_sorted_and_encoded_alike() {
        assert_eq!(canonical_query("b=2&a=%2f&a=%20&X-Amz-Signature=0&c"), "a=%20&a=%2F&b=2&c=");
        assert_eq!(canonical_query("a=%zz"), "a=%25zz");
    }
}
