//! Parameters of a query request: `application/x-www-form-urlencoded` in a body or a URL.

use crate::decode::DecodeError;

/// The most parameters of one request. A launch with everything set has some hundreds.
pub const MAX_PARAMETERS: usize = 20_000;

/// Decoded parameters in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    parameters: Vec<(String, String)>,
}

impl Form {
    /// Reads `A=1&B.1=x+y%20z`. A parameter without `=` has an empty value.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut parameters = Vec::new();
        for part in bytes.split(|byte| *byte == b'&').filter(|part| !part.is_empty()) {
            if parameters.len() == MAX_PARAMETERS {
                return Err(DecodeError::TooManyParameters);
            }
            let equals = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            let (name, value) = part.split_at(equals);
            parameters.push((text(name)?, text(value.get(1..).unwrap_or_default())?));
        }
        Ok(Self { parameters })
    }

    /// The value of a parameter; the first if it is given twice.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// The operation asked for.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        self.get("Action")
    }

    /// The version of the API that the client speaks.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.get("Version")
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn text(encoded: &[u8]) -> Result<String, DecodeError> {
    let bytes = percent_decoded(encoded, true)
        .ok_or(DecodeError::Malformed("The query string contains a malformed percent-encoding."))?;
    String::from_utf8(bytes)
        .map_err(|_| DecodeError::Malformed("The query string is not valid UTF-8."))
}

/// `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn percent_decoded(encoded: &[u8], plus_is_space: bool) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => hex_digit(*rest.next()?)? << 4 | hex_digit(*rest.next()?)?,
            b'+' if plus_is_space => b' ',
            _ => *byte,
        });
    }
    Some(decoded)
}

pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let form = Form::parse(b"Action=Do&Name=a+b%20c%2B&Flag&&Name=second&=x").unwrap();
        assert_eq!(form.action(), Some("Do"));
        assert_eq!(form.get("Name"), Some("a b c+"));
        assert_eq!(form.get("Flag"), Some(""));
        assert_eq!(form.iter().count(), 5);
    }

    #[test]
    fn garbled_forms_are_refused() {
        for bad in [b"A=%".as_slice(), b"A=%4", b"A=%zz", b"A=%ff%fe", b"%c0=1"] {
            assert!(matches!(Form::parse(bad), Err(DecodeError::Malformed(_))), "{bad:?}");
        }
        let many = b"a&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(Form::parse(&many), Err(DecodeError::TooManyParameters));
    }
}
