//! What the audit log says of a call, and which events a lookup finds: pure functions. The server
//! keeps the log itself.

pub mod access;
mod call;
mod errors;
mod identity;
mod lookup;
mod operations;
mod render;
mod resources;
mod secrets;
mod token;

pub use call::{Call, Output, is_read_only, keeps_answer};
pub use identity::{Identity, user_name};
pub use lookup::{Page, Query};
pub use operations::{Search, Searching, Visitor, visit};
pub use resources::{ResourceName, of_event as resources_of};
pub use secrets::is_secret_name;
pub use token::Position;
