//! Reads JSON by a schema, straight into values: no tree is built, unknown members are passed over.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use shapes::{Kind, Member, Schema, Value};

use crate::decode::{DecodeError, Expected};
use crate::query::{BASE64, clipped};
use crate::timestamp;

/// Reads an operation's input; an empty body is an input without members.
pub fn decode(schema: &'static Schema, body: &[u8]) -> Result<Value, DecodeError> {
    let body = if body.is_empty() { b"{}" } else { body };
    let refused = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = Seed { schema, path: &Path::Root, refused: &refused };
    let read = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    match read {
        Ok(Some(value)) => Ok(value),
        // `null` in place of the whole input.
        Ok(None) => decode(schema, b"{}"),
        Err(_) => Err(refused
            .into_inner()
            .unwrap_or(DecodeError::Malformed("The request's body is not valid JSON."))),
    }
}

/// Where a value stands; written only if it is refused.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'static str),
    /// Counted from 1, as AWS's messages do.
    Element(&'a Path<'a>, usize),
    Entry(&'a Path<'a>),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => {
                let mut letters = name.chars();
                let first = letters.next().map_or('_', |first| first.to_ascii_lowercase());
                write!(f, "{parent}.{first}{}", letters.as_str())
            }
            Self::Element(parent, number) => write!(f, "{parent}.{number}.member"),
            Self::Entry(parent) => write!(f, "{parent}.value"),
        }
    }
}

/// Reads one value; none where it is `null`.
#[derive(Clone, Copy)]
struct Seed<'a> {
    schema: &'static Schema,
    path: &'a Path<'a>,
    /// Why the input is refused: serde's own errors carry only text.
    refused: &'a RefCell<Option<DecodeError>>,
}

impl Seed<'_> {
    fn refuse<E: Error>(self, error: DecodeError) -> E {
        self.refused.borrow_mut().get_or_insert(error);
        E::custom("refused")
    }

    fn invalid<E: Error>(self, value: &str, expected: Expected) -> E {
        let (path, value) = (self.path.to_string(), clipped(value));
        self.refuse(DecodeError::Invalid { path, value, expected })
    }

    /// What is of another type than the schema's.
    fn wrong<E: Error>(self, found: &str) -> E {
        let expected = match self.schema.kind {
            Kind::Boolean => Expected::Boolean,
            Kind::Integer | Kind::Long => Expected::Integer,
            Kind::Float | Kind::Double => Expected::Number,
            Kind::String => Expected::String,
            Kind::Enum(_) => Expected::String,
            Kind::Blob => Expected::Blob,
            Kind::Timestamp(_) => Expected::Timestamp,
            Kind::List { .. } => Expected::List,
            Kind::Map { .. } | Kind::Structure(_) | Kind::Document => Expected::Structure,
        };
        self.invalid(found, expected)
    }

    fn whole<E: Error>(self, number: i128) -> Result<Option<Value>, E> {
        let value = match self.schema.kind {
            Kind::Integer => i32::try_from(number).ok().map(Value::Integer),
            Kind::Long => i64::try_from(number).ok().map(Value::Long),
            Kind::Float | Kind::Double | Kind::Timestamp(_) => {
                return self.fraction(&number.to_string());
            }
            Kind::Boolean
            | Kind::String
            | Kind::Blob
            | Kind::Enum(_)
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Structure(_)
            | Kind::Document => None,
        };
        value.map(Some).ok_or_else(|| self.wrong(&number.to_string()))
    }

    fn fraction<E: Error>(self, written: &str) -> Result<Option<Value>, E> {
        let value = match self.schema.kind {
            Kind::Float => written.parse().ok().map(Value::Float),
            Kind::Double => written.parse().ok().map(Value::Double),
            Kind::Timestamp(_) => timestamp::parse(written).map(Value::Timestamp),
            Kind::Boolean
            | Kind::Integer
            | Kind::Long
            | Kind::String
            | Kind::Blob
            | Kind::Enum(_)
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Structure(_)
            | Kind::Document => None,
        };
        value.map(Some).ok_or_else(|| self.wrong(written))
    }

    fn text<E: Error>(self, text: Cow<'_, str>) -> Result<Option<Value>, E> {
        let value = match self.schema.kind {
            Kind::String => return Ok(Some(Value::String(text.into_owned()))),
            Kind::Enum(values) if values.contains(&text.as_ref()) => {
                return Ok(Some(Value::String(text.into_owned())));
            }
            Kind::Enum(values) => return Err(self.invalid(&text, Expected::OneOf(values))),
            Kind::Blob => match base64::Engine::decode(&BASE64, text.as_bytes()) {
                Ok(bytes) => Some(Value::Blob(bytes)),
                Err(_) => return Err(self.wrong(&text)),
            },
            Kind::Timestamp(_) => match timestamp::parse(&text) {
                Some(time) => Some(Value::Timestamp(time)),
                None => return Err(self.wrong(&text)),
            },
            // What JSON's numbers can't say.
            Kind::Float | Kind::Double if ["NaN", "Infinity", "-Infinity"].contains(&&*text) => {
                return self.fraction(&text);
            }
            Kind::Boolean
            | Kind::Integer
            | Kind::Long
            | Kind::Float
            | Kind::Double
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Structure(_)
            | Kind::Document => None,
        };
        value.map(Some).ok_or_else(|| self.wrong(&text))
    }

    fn structure<'de, A: MapAccess<'de>>(
        self,
        members: &'static [Member],
        mut map: A,
    ) -> Result<Value, A::Error> {
        let mut values: BTreeMap<usize, Value> = BTreeMap::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let Some(index) = members.iter().position(|member| member.wire == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let member = &members[index];
            let path = Path::Member(self.path, member.wire);
            let seed = Seed { schema: member.schema, path: &path, refused: self.refused };
            // Of two members of one name the last counts.
            match map.next_value_seed(seed)? {
                Some(value) => values.insert(index, value),
                None => values.remove(&index),
            };
        }
        for (index, member) in members.iter().enumerate().filter(|(_, member)| member.required) {
            if !values.contains_key(&index) {
                let path = Path::Member(self.path, member.wire).to_string();
                return Err(self.refuse(DecodeError::Missing { path }));
            }
        }
        Ok(Value::Structure(values.into_iter().collect()))
    }

    fn map<'de, A: MapAccess<'de>>(
        self,
        schema: &'static Schema,
        mut map: A,
    ) -> Result<Value, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::Entry(self.path);
            let seed = Seed { schema, path: &path, refused: self.refused };
            if let Some(value) = map.next_value_seed(seed)? {
                entries.insert(key, value);
            }
        }
        Ok(Value::Map(entries))
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if let Kind::Document = self.schema.kind {
            let document = serde_json::Value::deserialize(json)?;
            return Ok((!document.is_null()).then(|| Value::Document(document.to_string())));
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.schema.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        match self.schema.kind {
            Kind::Boolean => Ok(Some(Value::Boolean(value))),
            Kind::Integer
            | Kind::Long
            | Kind::Float
            | Kind::Double
            | Kind::String
            | Kind::Blob
            | Kind::Timestamp(_)
            | Kind::Enum(_)
            | Kind::List { .. }
            | Kind::Map { .. }
            | Kind::Structure(_)
            | Kind::Document => Err(self.wrong(if value { "true" } else { "false" })),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.whole(i128::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.whole(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let mut written = String::new();
        // Without an exponent, which timestamps don't have.
        let _ = write!(written, "{value}");
        self.fraction(&written)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        self.text(Cow::Owned(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Kind::List { element, .. } = self.schema.kind else {
            return Err(self.wrong("a list"));
        };
        let mut values = Vec::new();
        for number in 1.. {
            let path = Path::Element(self.path, number);
            let seed = Seed { schema: element.schema, path: &path, refused: self.refused };
            match seq.next_element_seed(seed)? {
                Some(Some(value)) => values.push(value),
                // No list of ours has holes.
                Some(None) => {}
                None => break,
            }
        }
        Ok(Some(Value::List(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        match self.schema.kind {
            Kind::Structure(members) => self.structure(members, map).map(Some),
            Kind::Map { value, .. } => self.map(value.schema, map).map(Some),
            Kind::Boolean
            | Kind::Integer
            | Kind::Long
            | Kind::Float
            | Kind::Double
            | Kind::String
            | Kind::Blob
            | Kind::Timestamp(_)
            | Kind::Enum(_)
            | Kind::List { .. }
            | Kind::Document => Err(self.wrong("a structure")),
        }
    }
}
