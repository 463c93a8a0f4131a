//! Why a request is not let in, as each kind of service says it.

use std::fmt;

use shapes::{Fault, Protocol};
use types::Timestamp;

use super::MAX_SKEW_MS;
use crate::timestamp::basic;

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigV4Error {
    /// No signature at all.
    MissingToken,
    UnknownAlgorithm,
    /// A part is missing or malformed.
    Incomplete {
        detail: String,
    },
    /// The scope's day is not that of the request's time.
    ScopeDate,
    /// The scope names another service than the one asked.
    ScopeService {
        expected: String,
    },
    /// A header that must be signed is not.
    NotSigned {
        header: String,
    },
    /// Nobody has this access key; for whoever looks up the secret.
    UnknownKey,
    /// The session token is not the key's; for whoever looks up the secret.
    InvalidToken,
    /// The session is over; for whoever looks up the secret.
    ExpiredToken,
    Mismatch,
    /// The body is not the one stated.
    BodyMismatch,
    NotYetValid {
        signed: Timestamp,
        now: Timestamp,
    },
    Expired {
        signed: Timestamp,
        now: Timestamp,
    },
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you \
                        provided. Check your AWS Secret Access Key and signing method. Consult the \
                        service documentation for details.";
const INVALID: &str = "The security token included in the request is invalid.";

impl SigV4Error {
    /// The fault of a service that speaks this protocol.
    #[must_use]
    pub fn fault(&self, protocol: Protocol) -> Fault {
        match protocol {
            Protocol::Ec2 => self.ec2(),
            Protocol::RestXml => self.rest_xml(),
            Protocol::Json { .. } => self.json(),
            Protocol::Query | Protocol::RestJson => self.query(),
        }
    }

    fn ec2(&self) -> Fault {
        match self {
            Self::UnknownKey
            | Self::InvalidToken
            | Self::Mismatch
            | Self::BodyMismatch
            | Self::NotSigned { .. }
            | Self::ScopeDate
            | Self::ScopeService { .. } => Fault::sender(
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
            )
            .with_status(401),
            Self::Expired { .. } | Self::NotYetValid { .. } => {
                Fault::sender("RequestExpired", "Request has expired.")
            }
            Self::ExpiredToken => Fault::sender("RequestExpired", "Request has expired."),
            Self::MissingToken | Self::UnknownAlgorithm | Self::Incomplete { .. } => self.query(),
        }
    }

    fn query(&self) -> Fault {
        let mismatch =
            |message: String| Fault::sender("SignatureDoesNotMatch", message).with_status(403);
        match self {
            Self::MissingToken => Fault::sender(
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            )
            .with_status(403),
            Self::UnknownAlgorithm => {
                Fault::sender("IncompleteSignature", "Unsupported AWS 'algorithm'.")
            }
            Self::Incomplete { detail } => Fault::sender("IncompleteSignature", detail.clone()),
            Self::ScopeDate => {
                mismatch("Credential should be scoped to the day of the request's date.".to_owned())
            }
            Self::ScopeService { expected } => {
                mismatch(format!("Credential should be scoped to correct service: '{expected}'."))
            }
            Self::NotSigned { header } => {
                mismatch(format!("'{header}' must be a 'SignedHeader' in the AWS Authorization."))
            }
            Self::UnknownKey | Self::InvalidToken => {
                Fault::sender("InvalidClientTokenId", INVALID).with_status(403)
            }
            Self::ExpiredToken => Fault::sender(
                "ExpiredToken",
                "The security token included in the request is expired",
            )
            .with_status(403),
            Self::Mismatch | Self::BodyMismatch => mismatch(MISMATCH.to_owned()),
            Self::Expired { signed, now } => {
                let limit = Timestamp::from_millis(now.millis() - MAX_SKEW_MS);
                mismatch(format!(
                    "Signature expired: {} is now earlier than {} ({} - 15 min.)",
                    basic(*signed),
                    basic(limit),
                    basic(*now)
                ))
            }
            Self::NotYetValid { signed, now } => {
                let limit = Timestamp::from_millis(now.millis() + MAX_SKEW_MS);
                mismatch(format!(
                    "Signature not yet current: {} is still later than {} ({} + 15 min.)",
                    basic(*signed),
                    basic(limit),
                    basic(*now)
                ))
            }
        }
    }

    /// JSON services say it like query services, by other names and always with status 400.
    fn json(&self) -> Fault {
        let said = self.query();
        let code = match self {
            Self::MissingToken => "MissingAuthenticationTokenException",
            Self::UnknownAlgorithm | Self::Incomplete { .. } => "IncompleteSignatureException",
            Self::UnknownKey | Self::InvalidToken => "UnrecognizedClientException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::ScopeDate
            | Self::ScopeService { .. }
            | Self::NotSigned { .. }
            | Self::Mismatch
            | Self::BodyMismatch
            | Self::NotYetValid { .. }
            | Self::Expired { .. } => "InvalidSignatureException",
        };
        Fault::sender(code, said.message)
    }

    fn rest_xml(&self) -> Fault {
        let denied = |message: &str| Fault::sender("AccessDenied", message).with_status(403);
        match self {
            Self::MissingToken => denied("Access Denied"),
            Self::UnknownAlgorithm | Self::Incomplete { .. } | Self::ScopeDate => {
                Fault::sender("AuthorizationHeaderMalformed", self.query().message)
            }
            Self::ScopeService { .. } => {
                Fault::sender("AuthorizationHeaderMalformed", self.query().message)
            }
            Self::NotSigned { .. } => {
                denied("There were headers present in the request which were not signed")
            }
            Self::UnknownKey => Fault::sender(
                "InvalidAccessKeyId",
                "The AWS Access Key Id you provided does not exist in our records.",
            )
            .with_status(403),
            Self::InvalidToken => Fault::sender(
                "InvalidToken",
                "The provided token is malformed or otherwise invalid.",
            ),
            Self::ExpiredToken => Fault::sender("ExpiredToken", "The provided token has expired."),
            Self::Mismatch => Fault::sender(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. \
                 Check your key and signing method.",
            )
            .with_status(403),
            Self::BodyMismatch => Fault::sender(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ),
            Self::Expired { .. } | Self::NotYetValid { .. } => Fault::sender(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )
            .with_status(403),
        }
    }
}

impl fmt::Display for SigV4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.query().message)
    }
}

impl std::error::Error for SigV4Error {}
