//! Types of the operations served, generated from AWS's service model.
//!
//! A codec sees a shape through two things: its [`Schema`], a table of names and kinds, and a [`View`] of
//! its value. Decoding goes the other way, over a [`Value`]. No codec knows a shape, no shape a codec.

mod enumeration;
mod fault;
pub mod limits;
mod operation;
mod schema;
mod value;

pub mod cloudtrail;
pub mod ec2;
pub mod iam;
pub mod kms;
pub mod organizations;
pub mod sts;

pub use enumeration::UnknownValue;
pub use fault::Fault;
pub use limits::{Limits, Pattern};
pub use operation::{JsonVersion, Operation, Protocol, Served, Service};
pub use schema::{
    BLOB, BOOLEAN, DOUBLE, Element, FLOAT, INTEGER, Kind, LONG, Location, Member, Namespace,
    STRING, Schema, TIMESTAMP, TIMESTAMP_HTTP, TIMESTAMP_ISO, TIMESTAMP_UNIX, TimestampFormat,
    UNIT,
};
pub use value::{List, Map, Members, Shape, Structure, Value, View, view};
