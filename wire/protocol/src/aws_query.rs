//! The query protocol of IAM, STS and other services of their age.

use shapes::{Fault, Members, Schema, Service, UNIT, Value};

use crate::Answer;
use crate::decode::{DecodeError, Expected};
use crate::form::Form;
use crate::limits;
use crate::query::{self, Dialect};
use crate::timestamp::Millis;
use crate::xml::Xml;

const CONTENT_TYPE: &str = "text/xml";

/// Reads an operation's input; unknown parameters are passed over.
pub fn decode(schema: &'static Schema, form: &Form) -> Result<Value, DecodeError> {
    let value = query::decode(Dialect::Query, schema, form)?;
    match limits::check(schema, &value) {
        None => Ok(value),
        Some(message) => Err(DecodeError::Limits(message)),
    }
}

/// Writes an operation's output.
pub fn encode(
    service: &Service,
    operation: &str,
    schema: &'static Schema,
    output: &dyn Members,
    request_id: &str,
) -> Answer {
    let mut xml = Xml::new(Millis::IfAny);
    xml.raw("<");
    xml.raw(operation);
    xml.raw("Response xmlns=\"");
    xml.raw(service.namespace);
    xml.raw("\">");
    // An output without members has an empty result; where the model has none, there is none.
    if schema.name != UNIT {
        let result = format!("{operation}Result");
        xml.open(&result, None);
        xml.members(schema, output);
        xml.close(&result);
    }
    xml.raw("<ResponseMetadata>");
    xml.text_element("RequestId", request_id);
    xml.raw("</ResponseMetadata></");
    xml.raw(operation);
    xml.raw("Response>");
    Answer { status: 200, content_type: CONTENT_TYPE, body: xml.into_string() }
}

/// Writes a fault, with the members that the model gives this error beyond a message.
#[must_use]
pub fn error(
    service: &Service,
    fault: &Fault,
    detail: Option<(&'static Schema, &dyn Members)>,
    request_id: &str,
) -> Answer {
    let mut xml = Xml::new(Millis::IfAny);
    xml.raw("<ErrorResponse xmlns=\"");
    xml.raw(service.namespace);
    xml.raw("\"><Error>");
    xml.text_element("Type", if fault.sender { "Sender" } else { "Receiver" });
    xml.text_element("Code", &fault.code);
    xml.text_element("Message", &fault.message);
    if let Some((schema, members)) = detail {
        xml.members(schema, &query::WithoutMessage { schema, members });
    }
    xml.raw("</Error>");
    xml.text_element("RequestId", request_id);
    xml.raw("</ErrorResponse>");
    Answer { status: fault.status, content_type: CONTENT_TYPE, body: xml.into_string() }
}

/// What a query service says of a request that it cannot decode.
#[must_use]
pub fn decode_fault(error: &DecodeError) -> Fault {
    match error {
        DecodeError::Malformed(why) => Fault::sender("MalformedQueryString", *why),
        DecodeError::TooManyParameters => {
            Fault::sender("MalformedQueryString", "The request has too many parameters.")
        }
        DecodeError::Limits(message) => Fault::sender("ValidationError", message),
        DecodeError::Unknown { path } => Fault::sender(
            "InvalidQueryParameter",
            format!("The parameter {path} is not recognized"),
        ),
        DecodeError::Missing { path } => {
            let constraint = "failed to satisfy constraint: Member must not be null";
            validation(format!("Value null at '{}' {constraint}", camel(path)))
        }
        DecodeError::Invalid { path, value, expected: Expected::OneOf(values) } => {
            let constraint = "failed to satisfy constraint: Member must satisfy enum value set";
            let values = values.join(", ");
            validation(format!("Value '{value}' at '{}' {constraint}: [{values}]", camel(path)))
        }
        DecodeError::Invalid { path, value, .. } => Fault::sender(
            "MalformedInput",
            format!("The value '{value}' of the parameter {path} is malformed"),
        ),
    }
}

fn validation(detail: String) -> Fault {
    Fault::sender("ValidationError", format!("1 validation error detected: {detail}"))
}

/// Validation messages name members as Java does.
pub(crate) fn camel(path: &str) -> String {
    let mut letters = path.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}
