//! The catalogue as data: JSON in AWS's own names, read by the schemas of the shapes.

use flate2::read::GzDecoder;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use shapes::{Kind, Member, Schema, Shape, Structure, Value, ec2::InstanceTypeInfo};
use std::fmt;

static DATA: &[u8] = include_bytes!("../../../data/instance_types.json.gz");

/// All instance types, in the order of their names.
pub(super) fn load() -> Vec<InstanceTypeInfo> {
    // The data are ours and a test reads them all.
    read(DATA).unwrap_or_else(|error| unreachable!("the catalogue of instance types: {error}"))
}

fn read(zipped: &[u8]) -> Result<Vec<InstanceTypeInfo>, serde_json::Error> {
    let text = std::io::read_to_string(GzDecoder::new(zipped)).map_err(serde_json::Error::io)?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let types = json.deserialize_seq(Types)?;
    json.end()?;
    Ok(types)
}

struct Types;

impl<'de> Visitor<'de> for Types {
    type Value = Vec<InstanceTypeInfo>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of instance types")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut types = Vec::new();
        while let Some(value) = list.next_element_seed(By(InstanceTypeInfo::SCHEMA))? {
            let info = InstanceTypeInfo::from_value(value);
            types.push(info.ok_or_else(|| A::Error::custom("not of the schema"))?);
        }
        types.shrink_to_fit();
        Ok(types)
    }
}

/// Reads a value by its schema.
struct By(&'static Schema);

impl<'de> DeserializeSeed<'de> for By {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        match self.0.kind {
            Kind::Boolean => bool::deserialize(json).map(Value::Boolean),
            Kind::Integer => i32::deserialize(json).map(Value::Integer),
            Kind::Long => i64::deserialize(json).map(Value::Long),
            Kind::Float => f32::deserialize(json).map(Value::Float),
            Kind::Double => f64::deserialize(json).map(Value::Double),
            Kind::String | Kind::Enum(_) => String::deserialize(json).map(Value::String),
            Kind::List { element, .. } => json.deserialize_seq(Elements(element.schema)),
            Kind::Structure(members) => json.deserialize_map(MembersOf(members)),
            Kind::Blob | Kind::Timestamp(_) | Kind::Map { .. } | Kind::Document => {
                Err(D::Error::custom(format!("{} has no form here", self.0.name)))
            }
        }
    }
}

struct Elements(&'static Schema);

impl<'de> Visitor<'de> for Elements {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", self.0.name)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(By(self.0))? {
            values.push(value);
        }
        Ok(Value::List(values))
    }
}

struct MembersOf(&'static [Member]);

impl<'de> Visitor<'de> for MembersOf {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a structure")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(name) = map.next_key::<&str>()? {
            let at = self.0.iter().position(|member| member.name == name);
            let at = at.ok_or_else(|| A::Error::custom(format!("no member is called {name}")))?;
            values.push((at, map.next_value_seed(By(self.0[at].schema))?));
        }
        Ok(Value::Structure(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};
    use shapes::View;

    /// The JSON of a view, as the catalogue writes it.
    fn json(schema: &Schema, view: View<'_>) -> Json {
        match view {
            View::Boolean(value) => json!(value),
            View::Integer(value) => json!(value),
            View::Long(value) => json!(value),
            View::Float(value) => json!(value),
            View::Double(value) => json!(value),
            View::String(value) => json!(value),
            View::List(list) => {
                let Kind::List { element, .. } = schema.kind else { panic!("{}", schema.name) };
                let elements = (0..list.len()).filter_map(|at| list.get(at));
                elements.map(|view| json(element.schema, view)).collect()
            }
            View::Structure(structure) => {
                let members = schema.members().iter().enumerate();
                let present = members.filter_map(|(at, member)| {
                    let view = structure.member(at)?;
                    Some((member.name.to_owned(), json(member.schema, view)))
                });
                Json::Object(present.collect())
            }
            View::Blob(_) | View::Timestamp(_) | View::Map(_) | View::Document(_) => {
                panic!("{}", schema.name)
            }
        }
    }

    /// Numbers alike whether they were written as integers or not.
    fn numbers(value: &mut Json) {
        match value {
            Json::Number(number) => *value = json!(number.as_f64()),
            Json::Array(values) => values.iter_mut().for_each(numbers),
            Json::Object(values) => values.values_mut().for_each(numbers),
            Json::Null | Json::Bool(_) | Json::String(_) => {}
        }
    }

    #[test]
    fn nothing_is_lost() {
        let text = std::io::read_to_string(GzDecoder::new(DATA)).unwrap();
        let mut written: Json = serde_json::from_str(&text).unwrap();
        let read = load().iter().map(|info| json(InstanceTypeInfo::SCHEMA, info.view())).collect();
        let mut read = Json::Array(read);
        numbers(&mut written);
        numbers(&mut read);
        assert!(written == read);
    }
}
