//! AWS's wire protocols, signatures and faults.
//!
//! A request goes [`Payload::read`] → [`sigv4::Request::claim`] → [`route::service`] → [`decode`];
//! its answer comes from [`encode`] or [`fault`].

pub mod aws_json;
pub mod aws_query;
#[cfg(feature = "cases")]
pub mod cases;
mod decode;
pub mod ec2_query;
pub mod form;
mod limits;
mod payload;
mod query;
pub mod route;
pub mod sigv4;
pub mod timestamp;
mod xml;

pub use decode::{DecodeError, Expected};
pub use payload::Payload;

use shapes::{Fault, Operation, Protocol, Schema, Service, Shape, Value};

/// A response but for the headers that every response has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// Reads an operation's input.
pub fn decode<O: Operation>(payload: &Payload<'_>) -> Result<O::Input, Fault> {
    let schema = <O::Input as shapes::Structure>::SCHEMA;
    O::Input::from_value(decode_input(O::SERVICE, schema, payload)?).ok_or_else(|| {
        Fault::receiver("InternalError", "The request was decoded as another shape.")
    })
}

/// Reads an operation's input as a value of its schema.
pub fn decode_input(
    service: &Service,
    schema: &'static Schema,
    payload: &Payload<'_>,
) -> Result<Value, Fault> {
    match (service.protocol, payload) {
        (Protocol::Ec2, Payload::Form(form)) => {
            ec2_query::decode(schema, form).map_err(|e| ec2_query::decode_fault(&e))
        }
        (Protocol::Query, Payload::Form(form)) => {
            aws_query::decode(schema, form).map_err(|e| aws_query::decode_fault(&e))
        }
        (Protocol::Json { .. }, Payload::Json { body, .. }) => {
            aws_json::decode(schema, body).map_err(|e| aws_json::decode_fault(&e))
        }
        (Protocol::Ec2 | Protocol::Query | Protocol::Json { .. }, _) => {
            let message = format!("{} is not called in this protocol.", service.name);
            Err(Fault::sender("UnsupportedProtocol", message))
        }
        (Protocol::RestJson | Protocol::RestXml, _) => Err(unspoken(service)),
    }
}

/// Writes an operation's output.
pub fn encode<O: Operation>(output: &O::Output, request_id: &str) -> Answer {
    let schema = <O::Output as shapes::Structure>::SCHEMA;
    match O::SERVICE.protocol {
        Protocol::Ec2 => ec2_query::encode(O::SERVICE, O::NAME, schema, output, request_id),
        Protocol::Query => aws_query::encode(O::SERVICE, O::NAME, schema, output, request_id),
        Protocol::Json { version, .. } => aws_json::encode(version, schema, output),
        Protocol::RestJson | Protocol::RestXml => {
            fault(O::SERVICE, &unspoken(O::SERVICE), request_id)
        }
    }
}

/// Writes an error of a service.
#[must_use]
pub fn fault(service: &Service, fault: &Fault, request_id: &str) -> Answer {
    match service.protocol {
        Protocol::Ec2 => ec2_query::error(fault, None, request_id),
        Protocol::Json { version, .. } => aws_json::error(version, fault, None),
        Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
            aws_query::error(service, fault, None, request_id)
        }
    }
}

fn unspoken(service: &Service) -> Fault {
    Fault::receiver(
        "InternalError",
        format!("The protocol of {} is not spoken here.", service.name),
    )
}
