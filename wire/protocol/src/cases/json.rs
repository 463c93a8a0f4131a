//! Reads answers in JSON as a client does, by the model.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value as Json, json};
use shapes::{Kind, Schema, Value};

use super::client::Error;
use super::model;

/// The output of an answer.
pub fn output(schema: &'static Schema, body: &str) -> Result<Json, String> {
    let json = document(body)?;
    let value = value(schema, &json)?.unwrap_or_else(|| Value::Structure(Vec::new()));
    Ok(model::to_json(schema, &value))
}

/// An error, from the body or the header `X-Amzn-Errortype`; without a request ID, which stands in a
/// header alone.
pub fn error(schema: &'static Schema, body: &str, header: Option<&str>) -> Result<Error, String> {
    let json = document(body)?;
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let code = header.or(text("__type")).or(text("code")).unwrap_or("");
    // Services may put a namespace in front, and a URI behind.
    let code = code.split(':').next().unwrap_or(code);
    let code = code.rsplit('#').next().unwrap_or(code);
    let message = text("message").or(text("Message")).unwrap_or("");
    let fields = value(schema, &json)?.unwrap_or_else(|| Value::Structure(Vec::new()));
    Ok(Error {
        kind: "Sender".to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
        fields: model::to_json(schema, &fields),
        request_id: super::REQUEST_ID.to_owned(),
    })
}

fn document(body: &str) -> Result<Json, String> {
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_str(body).map_err(|error| error.to_string())
}

fn value(schema: &'static Schema, given: &Json) -> Result<Option<Value>, String> {
    if given.is_null() {
        return Ok(None);
    }
    let wrong = || format!("{given} is no {:?}", schema.name);
    let found = match schema.kind {
        Kind::Blob => {
            let bytes = given.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
            bytes.map(Value::Blob)
        }
        Kind::Timestamp(_) => {
            let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
            crate::timestamp::parse(&text).map(Value::Timestamp)
        }
        Kind::List { element, .. } => {
            let elements = given.as_array().ok_or_else(wrong)?.iter();
            let elements = elements.map(|given| value(element.schema, given));
            let elements = elements.collect::<Result<Vec<_>, _>>()?;
            Some(Value::List(elements.into_iter().flatten().collect()))
        }
        Kind::Map { value: of, .. } => {
            let entries = given.as_object().ok_or_else(wrong)?.iter();
            let entries = entries.map(|(key, given)| Ok((key.clone(), value(of.schema, given)?)));
            let entries = entries.collect::<Result<Vec<_>, String>>()?;
            let entries = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
            Some(Value::Map(entries.collect()))
        }
        Kind::Structure(members) => {
            let given: &Map<String, Json> = given.as_object().ok_or_else(wrong)?;
            let mut values = Vec::new();
            for (index, member) in members.iter().enumerate() {
                let Some(given) = given.get(member.wire) else { continue };
                if let Some(value) = value(member.schema, given)? {
                    values.push((index, value));
                }
            }
            Some(Value::Structure(values))
        }
        Kind::Boolean
        | Kind::Integer
        | Kind::Long
        | Kind::Float
        | Kind::Double
        | Kind::String
        | Kind::Document
        | Kind::Enum(_) => return model::from_json(schema, given).map(Some),
    };
    found.map(Some).ok_or_else(wrong)
}
