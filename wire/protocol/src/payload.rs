//! What a call carries, before anybody knows its operation: a form, or JSON.

use http::HeaderMap;

use crate::decode::DecodeError;
use crate::form::Form;

/// The header that names a JSON service's operation.
const TARGET: &str = "x-amz-target";

/// The operation asked for, with its parameters as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Of the two query protocols.
    Form(Form),
    /// Of a service that speaks JSON.
    Json {
        /// `X-Amz-Target`, as `TrentService.Encrypt`.
        target: &'a str,
        /// Not yet read.
        body: &'a [u8],
    },
}

impl<'a> Payload<'a> {
    /// What a request carries: JSON if it has `X-Amz-Target`, else a form in its body, or in its URL
    /// if the body is empty.
    pub fn read(headers: &'a HeaderMap, query: &str, body: &'a [u8]) -> Result<Self, DecodeError> {
        if let Some(target) = headers.get(TARGET).and_then(|target| target.to_str().ok()) {
            return Ok(Self::Json { target, body });
        }
        Form::parse(if body.is_empty() { query.as_bytes() } else { body }).map(Self::Form)
    }

    /// The operation asked for.
    #[must_use]
    pub fn action(&self) -> Option<&str> {
        match self {
            Self::Form(form) => form.action(),
            Self::Json { target, .. } => target.rsplit_once('.').map(|(_, action)| action),
        }
    }

    /// The version of the API that the client speaks; JSON says none.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::Form(form) => form.version(),
            Self::Json { .. } => None,
        }
    }

    /// What stands before the operation in `X-Amz-Target`.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Form(_) => None,
            Self::Json { target, .. } => target.rsplit_once('.').map(|(prefix, _)| prefix),
        }
    }

    /// Whether it is EC2's question what a call would do. JSON services have it as an input of the
    /// operations that know it.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        match self {
            Self::Form(form) => {
                form.get("DryRun").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            }
            Self::Json { .. } => false,
        }
    }
}

impl From<Form> for Payload<'_> {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}
