//! An error as a client sees it.

use std::borrow::Cow;
use std::fmt;

/// What an operation answers instead of its output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// AWS's error code, as `InvalidParameterValue`.
    pub code: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    pub message: String,
    /// Whether the caller is to blame; otherwise we are.
    pub sender: bool,
}

impl Fault {
    /// A fault of the caller's, with status 400.
    pub fn sender(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), status: 400, message: message.into(), sender: true }
    }

    /// A fault of ours, with status 500.
    pub fn receiver(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), status: 500, message: message.into(), sender: false }
    }

    /// The same fault with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
