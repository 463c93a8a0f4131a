//! The JSON protocol, versions 1.0 and 1.1, which differ in their media type alone.

mod read;

pub use read::decode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use shapes::{Fault, JsonVersion, Kind, Members, Schema, TimestampFormat, View};

use crate::Answer;
use crate::decode::{DecodeError, Expected};
use crate::query::WithoutMessage;
use crate::timestamp::{self, Millis};

fn content_type(version: JsonVersion) -> &'static str {
    match version {
        JsonVersion::V1_0 => "application/x-amz-json-1.0",
        JsonVersion::V1_1 => "application/x-amz-json-1.1",
    }
}

/// Writes an operation's output.
pub fn encode(version: JsonVersion, schema: &'static Schema, output: &dyn Members) -> Answer {
    let mut body = String::from("{");
    members(&mut body, schema, output);
    body.push('}');
    Answer { status: 200, content_type: content_type(version), body }
}

/// Writes a fault, with the members that the model gives this error beyond a message.
#[must_use]
pub fn error(
    version: JsonVersion,
    fault: &Fault,
    detail: Option<(&'static Schema, &dyn Members)>,
) -> Answer {
    let mut body = String::from("{\"__type\":");
    text(&mut body, &fault.code);
    // AWS gives some faults no message, `InvalidCiphertextException` for one.
    if !fault.message.is_empty() {
        let of_model = detail.into_iter().flat_map(|(schema, _)| schema.members());
        let mut names = of_model.map(|member| member.wire);
        let name = names.find(|name| name.eq_ignore_ascii_case("message")).unwrap_or("message");
        body.push(',');
        text(&mut body, name);
        body.push(':');
        text(&mut body, &fault.message);
    }
    if let Some((schema, fields)) = detail {
        body.push(',');
        members(&mut body, schema, &WithoutMessage { schema, members: fields });
        if body.ends_with(',') {
            body.pop();
        }
    }
    body.push('}');
    Answer { status: fault.status, content_type: content_type(version), body }
}

/// What a JSON service says of a request that it cannot decode.
#[must_use]
pub fn decode_fault(error: &DecodeError) -> Fault {
    match error {
        DecodeError::Malformed(_)
        | DecodeError::TooManyParameters
        | DecodeError::Unknown { .. } => Fault::sender("SerializationException", error.to_string()),
        DecodeError::Invalid {
            path,
            expected:
                Expected::Boolean
                | Expected::Integer
                | Expected::Number
                | Expected::Blob
                | Expected::Timestamp
                | Expected::String
                | Expected::List
                | Expected::Structure,
            ..
        } => {
            // The value may be a secret that was not encoded as it should be.
            let message = format!("The value of {path} is of another type.");
            Fault::sender("SerializationException", message)
        }
        DecodeError::Missing { .. }
        | DecodeError::Limits(_)
        | DecodeError::Invalid { expected: Expected::OneOf(_), .. } => {
            let said = crate::aws_query::decode_fault(error);
            Fault::sender("ValidationException", said.message)
        }
    }
}

fn members(out: &mut String, schema: &'static Schema, structure: &dyn Members) {
    let mut first = true;
    for (index, member) in schema.members().iter().enumerate() {
        let Some(view) = structure.member(index) else { continue };
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        text(out, member.wire);
        out.push(':');
        value(out, member.schema, view);
    }
}

fn value(out: &mut String, schema: &'static Schema, view: View<'_>) {
    match view {
        View::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        View::Integer(value) => out.push_str(&value.to_string()),
        View::Long(value) => out.push_str(&value.to_string()),
        View::Float(value) => number(out, value.is_finite(), f64::from(value), &value.to_string()),
        View::Double(value) => number(out, value.is_finite(), value, &value.to_string()),
        View::String(value) => text(out, value),
        View::Document(json) => out.push_str(json),
        View::Blob(bytes) => {
            out.push('"');
            BASE64_STANDARD.encode_string(bytes, out);
            out.push('"');
        }
        View::Timestamp(time) => {
            if let Kind::Timestamp(Some(
                format @ (TimestampFormat::Iso8601 | TimestampFormat::Http),
            )) = schema.kind
            {
                let mut written = String::new();
                timestamp::write(&mut written, time, format, Millis::IfAny);
                text(out, &written);
            } else {
                timestamp::write(out, time, TimestampFormat::Unix, Millis::IfAny);
            }
        }
        View::List(list) => {
            let Kind::List { element, .. } = schema.kind else { return out.push_str("null") };
            out.push('[');
            for index in 0..list.len() {
                if index > 0 {
                    out.push(',');
                }
                match list.get(index) {
                    Some(view) => value(out, element.schema, view),
                    None => out.push_str("null"),
                }
            }
            out.push(']');
        }
        View::Map(map) => {
            let Kind::Map { value: of, .. } = schema.kind else { return out.push_str("null") };
            out.push('{');
            let mut first = true;
            map.each(&mut |key, view| {
                if !std::mem::take(&mut first) {
                    out.push(',');
                }
                text(out, key);
                out.push(':');
                value(out, of.schema, view);
            });
            out.push('}');
        }
        View::Structure(structure) => {
            out.push('{');
            members(out, schema, structure);
            out.push('}');
        }
    }
}

/// JSON has no word for what is not finite: the protocol has texts.
fn number(out: &mut String, finite: bool, value: f64, written: &str) {
    if finite {
        out.push_str(written);
    } else if value.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

fn text(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
