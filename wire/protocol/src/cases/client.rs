//! Reads answers in XML as a client does, by the model.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value as Json;
use shapes::{Element as Part, Kind, Member, Protocol, Schema, Value};

use super::model;

/// An element of a document.
#[derive(Debug, Default)]
struct Element {
    /// Without a prefix.
    name: String,
    children: Vec<Element>,
    text: String,
}

/// An error as a client sees it.
pub struct Error {
    pub kind: String,
    pub code: String,
    pub message: String,
    pub fields: Json,
    pub request_id: String,
}

/// The output and the request ID of an answer.
pub fn output(
    protocol: Protocol,
    operation: &str,
    schema: &'static Schema,
    body: &str,
) -> Result<(Json, String), String> {
    let root = document(body)?;
    if root.name != format!("{operation}Response") {
        return Err(format!("the answer is {}", root.name));
    }
    let empty = Element::default();
    let (result, id) = match protocol {
        Protocol::Ec2 => (&root, root.text_of("requestId")),
        Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml => (
            root.child(&format!("{operation}Result")).unwrap_or(&empty),
            root.child("ResponseMetadata").unwrap_or(&empty).text_of("RequestId"),
        ),
    };
    Ok((model::to_json(schema, &structure(schema, result)?), id))
}

pub fn error(protocol: Protocol, schema: &'static Schema, body: &str) -> Result<Error, String> {
    let root = document(body)?;
    let (error, id) = match protocol {
        Protocol::Ec2 => (root.child("Errors").and_then(|e| e.child("Error")), "RequestID"),
        Protocol::Query | Protocol::Json { .. } | Protocol::RestJson | Protocol::RestXml => {
            (root.child("Error"), "RequestId")
        }
    };
    let error = error.ok_or("the answer has no error")?;
    Ok(Error {
        kind: error.text_of("Type"),
        code: error.text_of("Code"),
        message: error.text_of("Message"),
        fields: model::to_json(schema, &structure(schema, error)?),
        request_id: root.text_of(id),
    })
}

fn structure(schema: &'static Schema, element: &Element) -> Result<Value, String> {
    let mut values = Vec::new();
    for (index, member) in schema.members().iter().enumerate() {
        if let Some(value) = member_of(member, element)? {
            values.push((index, value));
        }
    }
    Ok(Value::Structure(values))
}

fn member_of(member: &Member, parent: &Element) -> Result<Option<Value>, String> {
    let named: Vec<&Element> = parent.children.iter().filter(|e| e.name == member.wire).collect();
    let Some(first) = named.first() else { return Ok(None) };
    if let Kind::List { element, flattened } = member.schema.kind
        && (flattened || member.flattened)
    {
        return list(element, &named).map(Some);
    }
    if let Kind::Map { key, value, flattened } = member.schema.kind
        && (flattened || member.flattened)
    {
        return map(key, value, &named).map(Some);
    }
    if named.len() > 1 {
        return Err(format!("{} is there {} times", member.wire, named.len()));
    }
    value_of(member.schema, first).map(Some)
}

fn value_of(schema: &'static Schema, element: &Element) -> Result<Value, String> {
    match schema.kind {
        Kind::Structure(_) => structure(schema, element),
        Kind::List { element: part, .. } => {
            list(part, &element.named(part.name.unwrap_or("member"))?)
        }
        Kind::Map { key, value, .. } => map(key, value, &element.named("entry")?),
        Kind::Boolean
        | Kind::Integer
        | Kind::Long
        | Kind::Float
        | Kind::Double
        | Kind::String
        | Kind::Blob
        | Kind::Timestamp(_)
        | Kind::Document
        | Kind::Enum(_) => model::scalar(schema, &element.text),
    }
}

fn list(part: Part, elements: &[&Element]) -> Result<Value, String> {
    let values = elements.iter().map(|element| value_of(part.schema, element));
    values.collect::<Result<_, _>>().map(Value::List)
}

fn map(key: Part, value: Part, entries: &[&Element]) -> Result<Value, String> {
    let mut values = BTreeMap::new();
    for entry in entries {
        let name = entry.text_of(key.name.unwrap_or("key"));
        let found = entry.child(value.name.unwrap_or("value")).ok_or("an entry has no value")?;
        values.insert(name, value_of(value.schema, found)?);
    }
    Ok(Value::Map(values))
}

impl Element {
    fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    fn text_of(&self, name: &str) -> String {
        self.child(name).map(|child| child.text.clone()).unwrap_or_default()
    }

    /// The children, all of which must have this name.
    fn named(&self, name: &str) -> Result<Vec<&Element>, String> {
        match self.children.iter().find(|child| child.name != name) {
            Some(other) => Err(format!("{} has a {} where it has {name}s", self.name, other.name)),
            None => Ok(self.children.iter().collect()),
        }
    }
}

fn document(body: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(body);
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let top = open.last_mut().ok_or("an element ends that never began")?;
        match event {
            Event::Start(start) => open.push(Element {
                name: start.local_name().as_ref().to_owned(),
                ..Element::default()
            }),
            Event::Empty(start) => top.children.push(Element {
                name: start.local_name().as_ref().to_owned(),
                ..Element::default()
            }),
            Event::Text(text) => top.text.push_str(&text),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|e| e.to_string())?;
                let name: &str = &reference;
                let named = quick_xml::escape::resolve_predefined_entity(name);
                match (character, named) {
                    (Some(character), _) => top.text.push(character),
                    (None, Some(text)) => top.text.push_str(text),
                    (None, None) => return Err(format!("there is no entity {name}")),
                }
            }
            Event::End(_) => {
                let mut done = open.pop().ok_or("an element ends that never began")?;
                if !done.children.is_empty() {
                    done.text.clear();
                }
                open.last_mut().ok_or("an element ends that never began")?.children.push(done);
            }
            Event::Eof => break,
            Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
    open.pop().and_then(|mut root| root.children.pop()).ok_or_else(|| "no document".to_owned())
}
