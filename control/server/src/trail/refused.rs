//! Requests that named no caller, or not rightly: they are in nobody's events, and kept apart in a
//! log of limited length, `refused.log` and the one before, `refused.log.old`.

use serde_json::json;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use types::Timestamp;

/// A log that has come to this many bytes is put aside.
const MAX_BYTES: u64 = 4 << 20;
/// The most characters of what a client says.
const MAX_CHARS: usize = 256;

/// A request that was refused before it was anybody's.
#[derive(Debug)]
pub struct Refusal {
    /// When it came.
    pub at: Timestamp,
    /// The client's address.
    pub address: String,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// The service, as far as the request named one.
    pub service: Option<&'static str>,
    /// The operation, as far as the request named one.
    pub operation: Option<String>,
    /// The key that it says has signed.
    pub access_key_id: Option<String>,
    /// The error answered.
    pub code: String,
    /// The ID in the answer.
    pub request_id: String,
}

/// The log.
#[derive(Debug)]
pub struct RefusedLog {
    path: PathBuf,
    file: File,
    length: u64,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl RefusedLog {
    /// Opens the log in this folder.
    ///
    /// # Errors
    /// It can't be written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("refused.log");
        let file = open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, length })
    }

    /// Writes a line; one that can't be written is lost, and was counted.
    pub fn write(&mut self, refusal: &Refusal) {
        let clip = |text: &Option<String>| {
            text.as_deref().map(|text| text.chars().take(MAX_CHARS).collect::<String>())
        };
        let line = json!({
            "eventTime": refusal.at.to_string(),
            "sourceIPAddress": refusal.address,
            "userAgent": clip(&refusal.user_agent),
            "eventSource": refusal.service.map(|name| format!("{name}.amazonaws.com")),
            "eventName": clip(&refusal.operation),
            "accessKeyId": clip(&refusal.access_key_id),
            "errorCode": refusal.code,
            "requestID": refusal.request_id,
        });
        let line = format!("{line}\n");
        if self.length >= MAX_BYTES {
            let old = self.path.with_extension("log.old");
            if let Ok(file) = fs::rename(&self.path, old).and_then(|()| open(&self.path)) {
                (self.file, self.length) = (file, 0);
            } else {
                return;
            }
        }
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.length += u64::try_from(line.len()).unwrap_or_default();
        }
    }
}
