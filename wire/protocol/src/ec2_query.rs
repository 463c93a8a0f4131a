//! The protocol of EC2.

use shapes::{Fault, Members, Schema, Service, Value};

use crate::Answer;
use crate::decode::{DecodeError, Expected};
use crate::form::Form;
use crate::query::{self, Dialect};
use crate::timestamp::Millis;
use crate::xml::Xml;

const CONTENT_TYPE: &str = "text/xml;charset=UTF-8";

/// Reads an operation's input; every parameter must be known.
pub fn decode(schema: &'static Schema, form: &Form) -> Result<Value, DecodeError> {
    query::decode(Dialect::Ec2, schema, form)
}

/// Writes an operation's output.
pub fn encode(
    service: &Service,
    operation: &str,
    schema: &'static Schema,
    output: &dyn Members,
    request_id: &str,
) -> Answer {
    let mut xml = Xml::new(Millis::Always);
    xml.raw("<");
    xml.raw(operation);
    xml.raw("Response xmlns=\"");
    xml.raw(service.namespace);
    xml.raw("\">");
    xml.text_element("requestId", request_id);
    if schema.members().is_empty() {
        xml.raw("<return>true</return>");
    }
    xml.members(schema, output);
    xml.raw("</");
    xml.raw(operation);
    xml.raw("Response>");
    Answer { status: 200, content_type: CONTENT_TYPE, body: xml.into_string() }
}

/// Writes a fault, with the members that the model gives this error beyond a message.
#[must_use]
pub fn error(
    fault: &Fault,
    detail: Option<(&'static Schema, &dyn Members)>,
    request_id: &str,
) -> Answer {
    let mut xml = Xml::new(Millis::Always);
    xml.raw("<Response><Errors><Error>");
    xml.text_element("Code", &fault.code);
    xml.text_element("Message", &fault.message);
    if let Some((schema, members)) = detail {
        xml.members(schema, &query::WithoutMessage { schema, members });
    }
    xml.raw("</Error></Errors>");
    xml.text_element("RequestID", request_id);
    xml.raw("</Response>");
    Answer { status: fault.status, content_type: CONTENT_TYPE, body: xml.into_string() }
}

/// What EC2 says of a request that it cannot decode.
#[must_use]
pub fn decode_fault(error: &DecodeError) -> Fault {
    match error {
        DecodeError::Malformed(why) => Fault::sender("MalformedQueryString", *why),
        DecodeError::TooManyParameters => {
            Fault::sender("MalformedQueryString", "The request has too many parameters.")
        }
        DecodeError::Limits(message) => Fault::sender("InvalidParameterValue", message),
        DecodeError::Unknown { path } => {
            Fault::sender("UnknownParameter", format!("The parameter {path} is not recognized"))
        }
        DecodeError::Missing { path } => Fault::sender(
            "MissingParameter",
            format!("The request must contain the parameter {path}"),
        ),
        DecodeError::Invalid { path, value, expected } => {
            let reason = match expected {
                Expected::Boolean => " Must be true or false",
                Expected::Integer => " Must be an integer",
                Expected::Number => " Must be a number",
                Expected::Blob => " Must be base64-encoded",
                Expected::Timestamp => " Must be a date and time in ISO 8601 format",
                Expected::String | Expected::List | Expected::Structure | Expected::OneOf(_) => "",
            };
            Fault::sender(
                "InvalidParameterValue",
                format!("Value ({value}) for parameter {path} is invalid.{reason}"),
            )
        }
    }
}
