//! XML, written straight into one string.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use shapes::{Element, Kind, List, Map, Member, Members, Namespace, Schema, TimestampFormat, View};

use crate::timestamp::{self, Millis};

pub const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// A document under way.
pub struct Xml {
    out: String,
    millis: Millis,
}

impl Xml {
    /// Begins a document whose timestamps are written so.
    pub fn new(millis: Millis) -> Self {
        let mut out = String::with_capacity(1024);
        out.push_str(DECLARATION);
        Self { out, millis }
    }

    pub fn into_string(self) -> String {
        self.out
    }

    /// Markup that needs no escaping.
    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// `<name>text</name>`
    pub fn text_element(&mut self, name: &str, text: &str) {
        self.open(name, None);
        escape(&mut self.out, text);
        self.close(name);
    }

    pub fn open(&mut self, name: &str, namespace: Option<Namespace>) {
        self.start(name, namespace);
        self.out.push('>');
    }

    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn start(&mut self, name: &str, namespace: Option<Namespace>) {
        self.out.push('<');
        self.out.push_str(name);
        if let Some(Namespace { prefix, uri }) = namespace {
            self.out.push_str(" xmlns");
            if let Some(prefix) = prefix {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            self.out.push_str("=\"");
            escape(&mut self.out, uri);
            self.out.push('"');
        }
    }

    /// The members of a structure, without an element around them.
    pub fn members(&mut self, schema: &'static Schema, structure: &dyn Members) {
        for (index, member) in schema.members().iter().enumerate() {
            if let (Some(view), false) = (structure.member(index), member.xml_attribute) {
                self.member(member, view);
            }
        }
    }

    fn member(&mut self, member: &Member, view: View<'_>) {
        match (view, member.schema.kind) {
            (View::List(list), Kind::List { element, flattened })
                if member.flattened || flattened =>
            {
                let namespace = element.namespace.or(member.namespace);
                self.list(list, Element { name: Some(member.wire), namespace, ..element });
            }
            (View::Map(map), Kind::Map { key, value, flattened })
                if member.flattened || flattened =>
            {
                self.map(map, member.wire, member.namespace, key, value);
            }
            _ => self.element(member.wire, member.namespace, member.schema, view),
        }
    }

    fn element(
        &mut self,
        name: &str,
        namespace: Option<Namespace>,
        schema: &'static Schema,
        view: View<'_>,
    ) {
        self.start(name, namespace);
        if let View::Structure(structure) = view {
            self.attributes(schema, structure);
        }
        self.out.push('>');
        self.content(schema, view);
        self.close(name);
    }

    fn attributes(&mut self, schema: &'static Schema, structure: &dyn Members) {
        for (index, member) in schema.members().iter().enumerate().filter(|(_, m)| m.xml_attribute)
        {
            if let Some(view) = structure.member(index) {
                self.out.push(' ');
                self.out.push_str(member.wire);
                self.out.push_str("=\"");
                self.content(member.schema, view);
                self.out.push('"');
            }
        }
    }

    fn content(&mut self, schema: &'static Schema, view: View<'_>) {
        // Writing to a String cannot fail.
        let _ = match view {
            View::Boolean(value) => {
                self.out.push_str(if value { "true" } else { "false" });
                Ok(())
            }
            View::Integer(value) => write!(self.out, "{value}"),
            View::Long(value) => write!(self.out, "{value}"),
            View::Float(value) if value.is_finite() => write!(self.out, "{value:?}"),
            View::Double(value) if value.is_finite() => write!(self.out, "{value:?}"),
            View::Float(value) => self.out.write_str(not_finite(value.into())),
            View::Double(value) => self.out.write_str(not_finite(value)),
            View::String(value) | View::Document(value) => {
                escape(&mut self.out, value);
                Ok(())
            }
            View::Blob(value) => {
                BASE64_STANDARD.encode_string(value, &mut self.out);
                Ok(())
            }
            View::Timestamp(value) => {
                let format = if let Kind::Timestamp(format) = schema.kind { format } else { None };
                let format = format.unwrap_or(TimestampFormat::Iso8601);
                timestamp::write(&mut self.out, value, format, self.millis);
                Ok(())
            }
            View::List(list) => {
                if let Kind::List { element, .. } = schema.kind {
                    self.list(list, element);
                }
                Ok(())
            }
            View::Map(map) => {
                if let Kind::Map { key, value, .. } = schema.kind {
                    self.map(map, "entry", None, key, value);
                }
                Ok(())
            }
            View::Structure(structure) => {
                self.members(schema, structure);
                Ok(())
            }
        };
    }

    fn list(&mut self, list: &dyn List, element: Element) {
        let name = element.name.unwrap_or("member");
        for index in 0..list.len() {
            if let Some(view) = list.get(index) {
                self.element(name, element.namespace, element.schema, view);
            }
        }
    }

    fn map(
        &mut self,
        map: &dyn Map,
        name: &str,
        namespace: Option<Namespace>,
        key: Element,
        value: Element,
    ) {
        map.each(&mut |text, view| {
            self.open(name, namespace);
            let key_name = key.name.unwrap_or("key");
            self.element(key_name, key.namespace, key.schema, View::String(text));
            let value_name = value.name.unwrap_or("value");
            self.element(value_name, value.namespace, value.schema, view);
            self.close(name);
        });
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Bytes at which escaping must look closer. 0xEF begins U+FFFE and U+FFFF.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        special[control] = control != b'\n' as usize && control != b'\t' as usize;
        control += 1;
    }
    special[b'&' as usize] = true;
    special[b'<' as usize] = true;
    special[b'>' as usize] = true;
    special[b'"' as usize] = true;
    special[0xEF] = true;
    special
};

/// Writes text for content or an attribute. A character that XML 1.0 cannot carry in any form
/// becomes U+FFFD, and a carriage return, which a parser would turn into a line feed, a reference.
pub fn escape(out: &mut String, text: &str) {
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !SPECIAL[usize::from(byte)] {
            continue;
        }
        let (escaped, length) = match byte {
            b'&' => ("&amp;", 1),
            b'<' => ("&lt;", 1),
            b'>' => ("&gt;", 1),
            b'"' => ("&quot;", 1),
            b'\r' => ("&#xD;", 1),
            0xEF if text[at..].starts_with(['\u{FFFE}', '\u{FFFF}']) => ("\u{FFFD}", 3),
            0xEF => continue,
            _ => ("\u{FFFD}", 1),
        };
        out.push_str(&text[written..at]);
        out.push_str(escaped);
        written = at + length;
    }
    out.push_str(&text[written..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_invalid_is_written() {
        let mut out = String::new();
        escape(&mut out, "a<b>&\"c'\r\n\t\u{0}\u{1b}\u{FFFE}\u{FFFF}\u{FFFD}é\u{10FFFF}");
        assert_eq!(
            out,
            "a&lt;b&gt;&amp;&quot;c'&#xD;\n\t\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}é\u{10FFFF}"
        );
    }
}
