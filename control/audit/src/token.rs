//! Where a page of a lookup ended.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

/// The longest token that is read, in bytes.
const MAX_TOKEN_BYTES: usize = 512;

/// A place in one of the log's streams: nothing at or after it is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The number of the file.
    pub file: u64,
    /// The offset in it, in bytes.
    pub offset: u64,
}

/// The token of positions, for a query with this digest.
pub(crate) fn seal(digest: u64, at: [Position; 2]) -> String {
    let [one, two] = at;
    let text = format!("1 {digest} {} {} {} {}", one.file, one.offset, two.file, two.offset);
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// The positions of a token, if it is one of a query with this digest.
pub(crate) fn open(digest: u64, token: &str) -> Option<[Position; 2]> {
    let bytes =
        BASE64_URL_SAFE_NO_PAD.decode(token.get(..token.len().min(MAX_TOKEN_BYTES))?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let numbers = text.split(' ').map(str::parse::<u64>).collect::<Result<Vec<_>, _>>().ok()?;
    let [1, given, file, offset, other_file, other_offset] = *numbers.as_slice() else {
        return None;
    };
    let at = [Position { file, offset }, Position { file: other_file, offset: other_offset }];
    (given == digest).then_some(at)
}

/// A digest of texts that is the same in every process (FNV-1a); nobody's secret depends on it.
pub(crate) fn digest(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_query_alone() {
        let at = [Position { file: 3, offset: 70 }, Position { file: 1, offset: 0 }];
        let token = seal(7, at);
        assert_eq!(open(7, &token), Some(at));
        assert_eq!(open(8, &token), None);
        for bad in ["", "x", "AAAA", &token[1..], &"A".repeat(10_000)] {
            assert_eq!(open(7, bad), None, "{bad}");
        }
        assert_ne!(digest(&["a", "b"]), digest(&["ab", ""]));
    }
}
