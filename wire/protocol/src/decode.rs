//! Why a request could not be decoded.

use std::fmt;

/// What is wrong with a request, and with which parameter, named as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes are no form at all.
    Malformed(&'static str),
    /// More than [`crate::form::MAX_PARAMETERS`].
    TooManyParameters,
    /// No member goes by this name.
    Unknown {
        path: String,
    },
    /// The model requires this member.
    Missing {
        path: String,
    },
    Invalid {
        path: String,
        value: String,
        expected: Expected,
    },
    /// Values break limits of the model: the whole message.
    Limits(String),
}

/// What a value should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Boolean,
    Integer,
    Number,
    Blob,
    Timestamp,
    String,
    List,
    Structure,
    OneOf(&'static [&'static str]),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => f.write_str(why),
            Self::Limits(message) => f.write_str(message),
            Self::TooManyParameters => f.write_str("too many parameters"),
            Self::Unknown { path } => write!(f, "unknown parameter {path}"),
            Self::Missing { path } => write!(f, "missing parameter {path}"),
            Self::Invalid { path, value, .. } => write!(f, "invalid value {value} of {path}"),
        }
    }
}

impl std::error::Error for DecodeError {}
