//! Why a document is refused, in the words of the service that it was sent to.

use std::fmt;

/// What a document is for: this decides which elements it must and must not have, and whose words
/// refuse it (S3's for [`Kind::Resource`], else IAM's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Attached to a user, group or role: no principals.
    Identity,
    /// Attached to a resource: principals are required.
    Resource,
    /// Says who may assume a role: principals, `sts:` actions, no resources.
    Trust,
    /// The most that an identity may do: written like an identity policy.
    Boundary,
    /// Passed along when a session is made: written like an identity policy.
    Session,
}

/// A document that was refused. Its `Display` is AWS's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// What the document should have been.
    pub kind: Kind,
    /// What is wrong.
    pub reason: Reason,
}

impl Invalid {
    /// AWS's error code: S3's `MalformedPolicy`; IAM's `MalformedPolicyDocument`, or `LimitExceeded`
    /// of a document that is too long.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match (self.kind, &self.reason) {
            (Kind::Resource, _) => "MalformedPolicy",
            (_, Reason::TooLarge { .. }) => "LimitExceeded",
            (Kind::Identity | Kind::Trust | Kind::Boundary | Kind::Session, _) => {
                "MalformedPolicyDocument"
            }
        }
    }
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The text is longer than the caller allows.
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The text is not one JSON object.
    NotJson,
    /// An element has a value of the wrong type.
    WrongType(&'static str),
    /// An object has a key twice.
    DuplicateKey(String),
    /// An element that the language doesn't have.
    UnknownField(String),
    /// An element that is required.
    MissingField(&'static str),
    /// An element that documents of this kind don't have.
    ProhibitedField(&'static str),
    /// An element together with its negation.
    BothFields(&'static str, &'static str),
    /// No statement, or a statement without any element.
    EmptyStatement,
    /// A version that doesn't exist.
    Version(String),
    /// IAM takes version 2012-10-17 only.
    OldVersion,
    /// Neither `Allow` nor `Deny`.
    Effect(String),
    /// A statement ID with characters that IAM doesn't take.
    Sid(String),
    /// Two statements with the same ID.
    DuplicateSid(String),
    /// No principal, or not one.
    Principal {
        /// The element under `Principal`, such as `AWS`.
        name: String,
        /// What stands there.
        value: String,
    },
    /// An action without a service, or with more than one colon.
    Action(String),
    /// The part of an action before the colon is no service.
    Vendor(String),
    /// A trust policy with an action other than STS's.
    TrustAction(String),
    /// A resource that is neither `*` nor an ARN.
    Resource(String),
    /// A resource in no known partition.
    Partition(String),
    /// A resource of IAM with a region, or of a type that IAM doesn't have.
    IamResource(String),
    /// A `${` that begins no policy variable.
    Variable(String),
    /// Not a condition operator.
    ConditionOperator(String),
    /// Not a condition key.
    ConditionKey(String),
    /// A value that the operator cannot take.
    ConditionValue {
        /// The operator as written.
        operator: String,
        /// The value.
        value: String,
    },
    /// S3: an action of the statement applies to none of its resources.
    ActionWithoutResource(String),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Resource => self.reason.in_words_of_s3(f),
            Kind::Trust => self.reason.in_words_of_trust(f),
            Kind::Identity | Kind::Boundary | Kind::Session => self.reason.in_words_of_iam(f),
        }
    }
}

impl std::error::Error for Invalid {}

impl Reason {
    fn in_words_of_s3(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { max_bytes } => {
                write!(f, "Policy exceeds the maximum allowed size of {max_bytes} bytes")
            }
            Self::NotJson => {
                f.write_str("Policies must be valid JSON and the first byte must be '{'")
            }
            Self::UnknownField(name) => write!(f, "Unknown field {name}"),
            Self::MissingField(name) => write!(f, "Missing required field {name}"),
            Self::ProhibitedField(name) => write!(f, "Has prohibited field {name}"),
            Self::EmptyStatement => f.write_str("Could not parse the policy: Statement is empty!"),
            Self::Version(_) | Self::OldVersion => {
                f.write_str("The policy must contain a valid version string")
            }
            Self::Effect(effect) => write!(f, "Invalid effect: {effect}"),
            Self::DuplicateSid(_) => {
                f.write_str("Statement IDs (SID) in a single policy must be unique.")
            }
            Self::Principal { .. } => f.write_str("Invalid principal in policy"),
            Self::Action(_) | Self::Vendor(_) | Self::TrustAction(_) => {
                f.write_str("Policy has invalid action")
            }
            Self::Resource(_) | Self::Partition(_) | Self::IamResource(_) => {
                f.write_str("Policy has invalid resource")
            }
            Self::ConditionOperator(name) => write!(f, "Invalid Condition type : {name}"),
            Self::ConditionKey(_) => f.write_str("Policy has an invalid condition key"),
            Self::ActionWithoutResource(_) => {
                f.write_str("Action does not apply to any resource(s) in statement")
            }
            Self::WrongType(_)
            | Self::DuplicateKey(_)
            | Self::BothFields(..)
            | Self::Sid(_)
            | Self::Variable(_)
            | Self::ConditionValue { .. } => f.write_str("Invalid policy syntax."),
        }
    }

    fn in_words_of_trust(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("This policy contains invalid Json"),
            Self::MissingField(name) => write!(f, "Missing required field {name}"),
            Self::ProhibitedField(name) => write!(f, "Has prohibited field {name}"),
            Self::UnknownField(name) => write!(f, "Unknown field {name}"),
            Self::Principal { name, value } => {
                write!(f, "Invalid principal in policy: \"{name}\":\"{value}\"")
            }
            Self::TrustAction(_) => {
                f.write_str("AssumeRole policy may only specify STS AssumeRole actions.")
            }
            Self::TooLarge { .. }
            | Self::WrongType(_)
            | Self::DuplicateKey(_)
            | Self::BothFields(..)
            | Self::EmptyStatement
            | Self::Version(_)
            | Self::OldVersion
            | Self::Effect(_)
            | Self::Sid(_)
            | Self::DuplicateSid(_)
            | Self::Action(_)
            | Self::Vendor(_)
            | Self::Resource(_)
            | Self::Partition(_)
            | Self::IamResource(_)
            | Self::Variable(_)
            | Self::ConditionOperator(_)
            | Self::ConditionKey(_)
            | Self::ConditionValue { .. }
            | Self::ActionWithoutResource(_) => self.in_words_of_iam(f),
        }
    }

    fn in_words_of_iam(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { max_bytes } => {
                write!(f, "Cannot exceed quota for PolicySize: {max_bytes}")
            }
            Self::OldVersion => {
                f.write_str("Policy document must be version 2012-10-17 or greater.")
            }
            Self::DuplicateSid(_) => {
                f.write_str("Statement IDs (SID) in a single policy must be unique.")
            }
            Self::MissingField("Action") => f.write_str("Policy statement must contain actions."),
            Self::MissingField("Resource") => {
                f.write_str("Policy statement must contain resources.")
            }
            Self::ProhibitedField("Principal") => {
                f.write_str("Policy document should not specify a principal.")
            }
            Self::Action(action) if action.contains(':') => {
                f.write_str("Actions/Condition can contain only one colon.")
            }
            Self::Action(_) | Self::ConditionKey(_) => f.write_str(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            Self::Vendor(vendor) => write!(f, "Vendor {vendor} is not valid"),
            Self::Resource(resource) => {
                write!(f, "Resource {resource} must be in ARN format or \"*\".")
            }
            Self::Partition(resource) => {
                let partition = resource.split(':').nth(1).unwrap_or_default();
                write!(f, "Partition \"{partition}\" is not valid for resource \"{resource}\".")
            }
            Self::IamResource(resource) => match resource.split(':').nth(3) {
                Some("") => write!(
                    f,
                    "IAM resource path must either be \"*\" or start with {}.",
                    crate::read::IAM_RESOURCES.join(", ")
                ),
                _ => write!(f, "IAM resource {resource} cannot contain region information."),
            },
            Self::Effect(effect)
                if effect.eq_ignore_ascii_case("allow") || effect.eq_ignore_ascii_case("deny") =>
            {
                f.write_str("The policy failed legacy parsing")
            }
            Self::ConditionValue { operator, .. } if operator.contains("Date") => {
                f.write_str("The policy failed legacy parsing")
            }
            Self::NotJson
            | Self::WrongType(_)
            | Self::DuplicateKey(_)
            | Self::UnknownField(_)
            | Self::MissingField(_)
            | Self::ProhibitedField(_)
            | Self::BothFields(..)
            | Self::EmptyStatement
            | Self::Version(_)
            | Self::Effect(_)
            | Self::Sid(_)
            | Self::Principal { .. }
            | Self::TrustAction(_)
            | Self::Variable(_)
            | Self::ConditionOperator(_)
            | Self::ConditionValue { .. }
            | Self::ActionWithoutResource(_) => f.write_str("Syntax errors in policy."),
        }
    }
}
