//! Data keys for the object store: what it asks of KMS, which is the server's, on behalf of its own
//! callers.
//!
//! The objects role connects to the server's socket `keys.sock`. Each [`Ask`] is a JSON value on a line,
//! and so is the [`Answer`] to it, in their order. Who asks has been authenticated by the object store;
//! the server looks the caller up anew, and KMS decides.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, net::IpAddr};
use zeroize::Zeroize as _;

/// The name of the server's socket.
pub const SOCKET: &str = "keys.sock";
/// The longest line of either side, in bytes: the headers of a request are shorter than a part of it.
pub const MAX_LINE: u64 = 256 << 10;

/// What the object store asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The access key that signed the request.
    pub access_key_id: String,
    /// The session token that came with it.
    pub session_token: Option<String>,
    /// The client's address.
    pub source_ip: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// Whether the request came over TLS.
    pub secure: bool,
    /// The bucket's region.
    pub region: String,
    /// The encryption context.
    pub context: BTreeMap<String, String>,
    /// What is wanted.
    pub want: Want,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A log must not hold a session token.
        let Self { access_key_id, want, .. } = self;
        f.debug_struct("Ask")
            .field("access_key_id", access_key_id)
            .field("want", want)
            .finish_non_exhaustive()
    }
}

/// What an [`Ask`] wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// A new data key under this key of KMS; none stands for `alias/aws/s3` of the caller's account.
    Generate {
        /// An ID, an ARN or an alias.
        key_id: Option<String>,
    },
    /// The data key in a ciphertext.
    Open {
        /// What [`Answer::Made`] gave.
        ciphertext: Vec<u8>,
    },
}

/// The plaintext of a data key, 32 bytes, which is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plaintext(pub [u8; 32]);

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext")
    }
}

/// The server's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Want::Generate`].
    Made {
        /// To encrypt with, and to forget.
        plaintext: Plaintext,
        /// To keep beside what is encrypted.
        ciphertext: Vec<u8>,
        /// The ARN of the key of KMS that seals it.
        key_arn: String,
    },
    /// To [`Want::Open`].
    Opened {
        /// To decrypt with, and to forget.
        plaintext: Plaintext,
    },
    /// KMS refuses.
    Refused {
        /// KMS's own code, such as `AccessDeniedException`.
        code: String,
        /// Its message.
        message: String,
        /// Whether it is the server that failed, not the caller.
        ours: bool,
    },
}

/// A line with a secret, which is wiped when it is dropped.
#[derive(Default)]
pub struct Line(pub Vec<u8>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// A value as a line.
    ///
    /// # Errors
    /// It can't be encoded, which is a fault of ours.
    pub fn of<T: Serialize>(value: &T) -> serde_json::Result<Self> {
        // Room for all, so that no copy is left behind where it grew.
        let mut text = Vec::with_capacity(8 << 10);
        serde_json::to_writer(&mut text, value)?;
        text.push(b'\n');
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_the_debug_form() {
        let plaintext = Plaintext([7; 32]);
        let made = Answer::Made { plaintext, ciphertext: vec![1], key_arn: "arn:k".to_owned() };
        assert!(!format!("{made:?}").contains("7, 7"));
        let line = Line::of(&made).expect("a line");
        assert_eq!(serde_json::from_slice::<Answer>(&line.0).expect("an answer"), made);
    }
}
