//! The instance metadata service (IMDSv2) as a pure function of a documents, a request and a time.
//!
//! ```text
//! bytes ─▶ Connection (HTTP/1.1) ─▶ Request ─▶ Service::respond ─▶ Response ─▶ bytes
//!                                              token · options · tree(Metadata)
//! ```
//! Nothing here does I/O or reads a clock. The caller owns the sockets, one [`Connection`] for
//! each, one [`Throttle`] for each instance, and the secret that keys the session tokens.

mod connection;
mod identity;
mod response;
mod service;
mod throttle;
mod token;
mod tree;

pub use connection::{
    Connection, MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_PIPELINED, Method, Output, Request,
};
pub use response::Response;
pub use service::{Documents, Service};
pub use throttle::{BURST, REQUESTS_PER_SECOND, Throttle};
pub use token::MAX_TTL_S;
