//! The connection of a host's agent to the server: JSON values, one a line, both ways.
//!
//! The agent connects to the server's socket and sends [`FromAgent::Observed`] with
//! [`crate::host::Observed::Host`] first; the server answers with a patch whose `reset` is true.

use crate::{
    host::{Observed, Patch},
    instance_identity::InstanceIdentity,
};
use serde::{Deserialize, Serialize};
use types::InstanceId;

/// The longest line that either side accepts, in bytes.
pub const MAX_LINE: usize = 256 << 20;

/// From the server to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// A change to the desired state.
    Patch(Patch),
    /// What one of the host's instances proves its identity by, in the place of what was before.
    Identity(Box<InstanceIdentity>),
    /// A question that wants [`FromAgent::Answer`] with the same number.
    Ask(u64, Question),
}

/// From the agent to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum FromAgent {
    /// A fact.
    Observed(Observed),
    /// The answer to a question.
    Answer(u64, Result<Answer, String>),
}

/// What the server may ask an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// The last 64 KiB that the instance wrote to its serial port, as base64.
    Console(InstanceId),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Console`].
    Console {
        /// The output, base64.
        output: String,
        /// When the last byte of it came.
        at: types::Timestamp,
    },
}
