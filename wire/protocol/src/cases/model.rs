//! A case's model as schemas, and JSON as values of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value as Json, json};
use shapes::{
    BLOB, BOOLEAN, DOUBLE, Element, FLOAT, INTEGER, Kind, LONG, Member, Namespace, STRING, Schema,
    TIMESTAMP, TIMESTAMP_HTTP, TIMESTAMP_ISO, TIMESTAMP_UNIX, UNIT, Value,
};
use types::Timestamp;

use super::text;

/// Schemas made at run time cannot be recursive, so that recursion is unrolled this deep.
const MAX_DEPTH: usize = 8;

static DOCUMENT: Schema = Schema::new("Document", Kind::Document);
static EMPTY: Schema = Schema::new(UNIT, Kind::Structure(&[]));

/// Builds schemas from a case's model. They are leaked: cases are run once, by developers.
pub struct Model<'a> {
    case: &'a Json,
    built: RefCell<HashMap<(String, usize), &'static Schema>>,
}

impl<'a> Model<'a> {
    pub fn new(case: &'a Json) -> Self {
        Self { case, built: RefCell::default() }
    }

    /// The schema of the operation's `input` or `output`.
    pub fn operation(&self, side: &str) -> Result<&'static Schema, String> {
        match self.case["operation"][side]["shape"].as_str() {
            Some(name) => self.named(name),
            None => Ok(&EMPTY),
        }
    }

    pub fn named(&self, name: &str) -> Result<&'static Schema, String> {
        self.schema(&json!({ "shape": name }), 0)
    }

    fn schema(&self, reference: &Json, depth: usize) -> Result<&'static Schema, String> {
        let name = text(reference, "shape");
        let shape = &self.case["model"]["shapes"][name];
        let format = reference.get("timestampFormat").or(shape.get("timestampFormat"));
        Ok(match text(shape, "type") {
            "string" | "character" => &STRING,
            "boolean" => &BOOLEAN,
            "integer" => &INTEGER,
            "long" => &LONG,
            "float" => &FLOAT,
            "double" => &DOUBLE,
            "blob" => &BLOB,
            "timestamp" => match format.and_then(Json::as_str) {
                None => &TIMESTAMP,
                Some("iso8601") => &TIMESTAMP_ISO,
                Some("unixTimestamp") => &TIMESTAMP_UNIX,
                Some("rfc822") => &TIMESTAMP_HTTP,
                Some(other) => return Err(format!("there is no timestamp format {other}")),
            },
            "structure" if shape["document"] == true => &DOCUMENT,
            "structure" | "list" | "map" => self.composite(name, shape, depth)?,
            other => return Err(format!("the shape {name} is of an unknown type {other}")),
        })
    }

    fn composite(&self, name: &str, shape: &Json, depth: usize) -> Result<&'static Schema, String> {
        let key = (name.to_owned(), depth);
        if let Some(built) = self.built.borrow().get(&key) {
            return Ok(built);
        }
        if depth > MAX_DEPTH {
            return Ok(&EMPTY);
        }
        let flattened = shape["flattened"] == true;
        let kind = match text(shape, "type") {
            "list" => Kind::List { element: self.element(&shape["member"], depth)?, flattened },
            "map" => Kind::Map {
                key: self.element(&shape["key"], depth)?,
                value: self.element(&shape["value"], depth)?,
                flattened,
            },
            _ => {
                let members = shape["members"].as_object().into_iter().flatten();
                let members: Result<Vec<Member>, String> = members
                    .map(|(name, reference)| self.member(name, reference, shape, depth))
                    .collect();
                Kind::Structure(Vec::leak(members?))
            }
        };
        let namespace = namespace(shape);
        let schema: &'static Schema =
            Box::leak(Box::new(Schema { name: leak(name), kind, namespace, limits: None }));
        self.built.borrow_mut().insert(key, schema);
        Ok(schema)
    }

    fn member(
        &self,
        name: &str,
        reference: &Json,
        parent: &Json,
        depth: usize,
    ) -> Result<Member, String> {
        let target = &self.case["model"]["shapes"][text(reference, "shape")];
        // A list that is always flattened lends its elements' name.
        let element = target["member"]["locationName"].as_str();
        let element = element.filter(|_| target["flattened"] == true);
        let wire = reference["locationName"].as_str().or(element).unwrap_or(name);
        let ec2 = reference["queryName"].as_str().map_or_else(|| capitalized(wire), str::to_owned);
        let schema = self.schema(reference, depth + 1)?;
        let mut member = Member::new(leak(name), leak(wire), leak(&ec2), schema);
        member.namespace = namespace(reference);
        member.flattened = reference["flattened"] == true;
        member.xml_attribute = reference["xmlAttribute"] == true;
        member.required =
            parent["required"].as_array().is_some_and(|required| required.contains(&json!(name)));
        Ok(member)
    }

    fn element(&self, reference: &Json, depth: usize) -> Result<Element, String> {
        let name = reference["locationName"].as_str().map(leak);
        let schema = self.schema(reference, depth + 1)?;
        Ok(Element { name, schema, namespace: namespace(reference) })
    }
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().to_string() + letters.as_str())
}

fn namespace(of: &Json) -> Option<Namespace> {
    let namespace = of.get("xmlNamespace")?;
    let uri = namespace.as_str().or(namespace["uri"].as_str())?;
    Some(Namespace { prefix: namespace["prefix"].as_str().map(leak), uri: leak(uri) })
}

/// JSON as the cases write it: members by the model's names, blobs as their text, timestamps as
/// seconds, floats that are not finite as words.
pub fn to_json(schema: &'static Schema, value: &Value) -> Json {
    match (value, schema.kind) {
        (Value::Boolean(value), _) => json!(value),
        (Value::Integer(value), _) => json!(value),
        (Value::Long(value), _) => json!(value),
        (Value::Float(value), _) => float(f64::from(*value), value.to_string()),
        (Value::Double(value), _) => float(*value, value.to_string()),
        (Value::String(value), _) => json!(value),
        (Value::Document(text), _) => serde_json::from_str(text).unwrap_or_default(),
        (Value::Blob(value), _) => json!(String::from_utf8_lossy(value)),
        (Value::Timestamp(value), _) => json!({ "ms": value.millis() }),
        (Value::List(elements), Kind::List { element, .. }) => {
            elements.iter().map(|value| to_json(element.schema, value)).collect()
        }
        (Value::Map(entries), Kind::Map { value: of, .. }) => {
            let entries =
                entries.iter().map(|(key, value)| (key.clone(), to_json(of.schema, value)));
            Json::Object(entries.collect())
        }
        (Value::Structure(members), _) => {
            let mut object = Map::new();
            for (index, value) in members {
                if let Some(member) = schema.members().get(*index) {
                    object.insert(member.name.to_owned(), to_json(member.schema, value));
                }
            }
            Json::Object(object)
        }
        (Value::List(_) | Value::Map(_), _) => Json::Null,
    }
}

/// All floats by their shortest decimal text, so that 10.8 is the same in either width.
fn float(value: f64, text: String) -> Json {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(text)
    }
}

/// A case's JSON as `to_json` would write it.
pub fn normal(schema: &'static Schema, given: &Json) -> Json {
    from_json(schema, given).map_or_else(Json::String, |value| to_json(schema, &value))
}

pub fn from_json(schema: &'static Schema, given: &Json) -> Result<Value, String> {
    let wrong = || format!("{given} is no {:?}", schema.name);
    let number = || match given.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => given.as_f64(),
    };
    let value = match schema.kind {
        Kind::Boolean => given.as_bool().map(Value::Boolean),
        Kind::Integer => given.as_i64().and_then(|n| n.try_into().ok()).map(Value::Integer),
        Kind::Long => given.as_i64().map(Value::Long),
        Kind::Float => number().and_then(|n| n.to_string().parse().ok()).map(Value::Float),
        Kind::Double => number().map(Value::Double),
        Kind::String | Kind::Enum(_) => given.as_str().map(|text| Value::String(text.to_owned())),
        Kind::Blob => given.as_str().map(|text| Value::Blob(text.as_bytes().to_vec())),
        Kind::Timestamp(_) => {
            let parsed = crate::timestamp::parse(&given.to_string());
            parsed.map(|time: Timestamp| Value::Timestamp(time))
        }
        Kind::List { element, .. } => {
            let elements = given.as_array().ok_or_else(wrong)?.iter();
            let elements = elements.map(|given| from_json(element.schema, given));
            Some(Value::List(elements.collect::<Result<_, _>>()?))
        }
        Kind::Map { value, .. } => {
            let entries = given.as_object().ok_or_else(wrong)?.iter();
            let entries =
                entries.map(|(key, given)| Ok((key.clone(), from_json(value.schema, given)?)));
            Some(Value::Map(entries.collect::<Result<BTreeMap<_, _>, String>>()?))
        }
        Kind::Document => Some(Value::Document(given.to_string())),
        Kind::Structure(members) => {
            let mut values = Vec::new();
            for name in given.as_object().ok_or_else(wrong)?.keys() {
                if !members.iter().any(|member| member.name == name) {
                    return Err(format!("{} has no member {name}", schema.name));
                }
            }
            for (index, member) in members.iter().enumerate() {
                // A client that is given `null` sends nothing.
                if let Some(given) = given.get(member.name).filter(|given| !given.is_null()) {
                    values.push((index, from_json(member.schema, given)?));
                }
            }
            Some(Value::Structure(values))
        }
    };
    value.ok_or_else(wrong)
}

/// A scalar as an XML client reads it.
pub fn scalar(schema: &'static Schema, text: &str) -> Result<Value, String> {
    let wrong = || format!("{text:?} is no {}", schema.name);
    let value = match schema.kind {
        Kind::Boolean => text.parse().ok().map(Value::Boolean),
        Kind::Integer => text.parse().ok().map(Value::Integer),
        Kind::Long => text.parse().ok().map(Value::Long),
        Kind::Float => text.parse().ok().map(Value::Float),
        Kind::Double => text.parse().ok().map(Value::Double),
        Kind::Blob => BASE64_STANDARD.decode(text).ok().map(Value::Blob),
        Kind::Timestamp(_) => crate::timestamp::parse(text).map(Value::Timestamp),
        Kind::String | Kind::Enum(_) => Some(Value::String(text.to_owned())),
        Kind::List { .. } | Kind::Map { .. } | Kind::Structure(_) | Kind::Document => None,
    };
    value.ok_or_else(wrong)
}
