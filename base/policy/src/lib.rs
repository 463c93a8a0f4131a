//! AWS policy documents: parsed and validated, compiled once, evaluated as a pure function.
//!
//! ```text
//! text ── Document::parse(kind) ──▶ Document ── compile ──▶ Compiled ┐
//!                                                                    ├─ decide ──▶ Decision
//! caller, action, resource, Context ─────────────────────▶ Request ──┘
//! ```
//! Nothing here does I/O, reads a clock or knows which policies a caller has: whoever asks
//! collects them, and the values of the condition keys, and gets one [`Decision`].
//!
//! Where AWS's documentation leaves room, this crate reads it so:
//! * An ARN's wildcards stay in their segment; `arn:aws:s3*`, with fewer than six, is open-ended.
//! * A variable's value is plain text: `*` in a tag is no wildcard, `${` no further variable. A
//!   variable without value equals nothing, so that `StringNotEquals` holds.
//! * An operator without quantifier on a key of several values looks for any; its negation for none.
//! * `IfExists` lets an absent key pass with every quantifier, `ForAnyValue` included.
//! * A statement for everyone (`*`) stands in for the identity's policies, as one that names a role
//!   does, and leaves boundary and session policy in force.
//! * `NotPrincipal` leaves out callers that are listed in all their forms: account, user or role,
//!   session.
//!
//! ```
//! use policy::{Caller, Context, Decision, Document, Kind, Policies, Request, decide};
//!
//! let text = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
//!     "Action": "s3:GetObject", "Resource": "arn:aws:s3:::public/*"}}"#;
//! let document = Document::parse(text, 20 * 1024, Kind::Resource)?;
//! policy::s3::check(&document, "public")?;
//! let bucket = document.compile();
//!
//! let mut context = Context::new();
//! context.set("aws:SourceIp", "192.0.2.1");
//! let request = Request {
//!     caller: Caller::Anonymous,
//!     canonical_user: None,
//!     action: "s3:GetObject",
//!     resource: "arn:aws:s3:::public/a.txt",
//!     context: &context,
//! };
//! let policies = Policies {
//!     resource: Some(&bucket),
//!     resource_account: Some("111122223333".parse().unwrap()),
//!     ..Policies::default()
//! };
//! assert_eq!(decide(&request, &policies), Decision::Allow);
//! # Ok::<(), policy::Invalid>(())
//! ```

mod arn;
mod caller;
mod compile;
mod condition;
mod context;
mod date;
mod document;
mod error;
mod evaluate;
mod json;
mod operator;
mod pattern;
mod principal;
mod read;
pub mod s3;

pub use caller::Caller;
pub use compile::Compiled;
pub use context::Context;
pub use document::{Clause, Condition, Document, Effect, Principals, Statement, Version};
pub use error::{Invalid, Kind, Reason};
pub use evaluate::{Decision, Origin, Policies, PolicyType, Request, decide};
pub use operator::{Operator, Quantifier, Test};
pub use principal::{Principal, PrincipalType};
