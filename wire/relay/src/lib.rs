//! The processes that share the one port: a connection is sorted by its first request, and handed
//! over with its descriptor; a later request for the other process is passed on.
//!
//! A connection over a Unix socket between them begins with a line that says where it comes from
//! ([`Source`]), as the VPC card writes it.

mod connection;
mod crowd;
mod forward;
mod pass;
mod source;
mod steady;

pub use connection::Connection;
pub use crowd::{Crowd, Place};
pub use forward::{Relay, RelayError};
pub use pass::{Passer, listen_for_passed};
pub use source::Source;
pub use steady::Steady;

use http::request::Parts;
use protocol::route::Head;
use std::{io, os::unix::fs::PermissionsExt as _, path::Path};

/// Listens on a socket that only its owner may connect to.
///
/// # Errors
/// The socket can't be made.
pub fn listen(path: &Path) -> io::Result<tokio::net::UnixListener> {
    let _ = std::fs::remove_file(path);
    let listener = tokio::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether a request is for S3.
#[must_use]
pub fn is_s3(parts: &Parts) -> bool {
    Head::of(parts).is_s3()
}

/// Connections are files: as many as the system lets us have.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
