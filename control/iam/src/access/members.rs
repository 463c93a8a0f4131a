//! Reads members of an operation's input by the names that the model gives them, so that a table of
//! names can say which resources a call is about.

use shapes::{Kind, Members, Schema, View};
use std::borrow::Cow;

/// An input, readable by name.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    schema: &'static Schema,
    members: &'a dyn Members,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.schema.name)
    }
}

impl<'a> Input<'a> {
    /// An operation's input.
    pub fn new<T: shapes::Structure>(input: &'a T) -> Self {
        Self { schema: T::SCHEMA, members: input }
    }

    fn member(&self, name: &str) -> Option<(View<'a>, &'static Schema)> {
        let members = self.schema.members();
        let index = members.iter().position(|member| member.name == name)?;
        Some((self.members.member(index)?, members.get(index)?.schema))
    }

    /// Visits each value at `path`, names joined by dots; lists on the way are gone through.
    fn visit(&self, path: &str, visit: &mut dyn FnMut(View<'a>, &'static Schema)) {
        let (name, rest) = match path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path, None),
        };
        if let Some((view, schema)) = self.member(name) {
            descend(view, schema, rest, visit);
        }
    }

    /// The texts at `path`: every element of a list.
    #[must_use]
    pub fn texts(&self, path: &str) -> Vec<String> {
        let mut texts = Vec::new();
        self.visit(path, &mut |view, _| texts.extend(text(view)));
        texts
    }

    /// The first text at `path`.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.texts(path).into_iter().next()
    }

    /// The structures at `path`: every element of a list.
    #[must_use]
    pub fn structures(&self, path: &str) -> Vec<Self> {
        let mut found = Vec::new();
        self.visit(path, &mut |view, schema| {
            if let View::Structure(members) = view {
                found.push(Self { schema, members });
            }
        });
        found
    }

    /// The tags at `path`, a list of structures with a key and a value.
    #[must_use]
    pub fn tags(&self, path: &str) -> Vec<(String, String)> {
        let tags = self.structures(path).into_iter().filter_map(|tag| {
            let key = tag.text("Key").or_else(|| tag.text("TagKey"))?;
            let value = tag.text("Value").or_else(|| tag.text("TagValue"));
            Some((key, value.unwrap_or_default()))
        });
        tags.collect()
    }
}

fn descend<'a>(
    view: View<'a>,
    schema: &'static Schema,
    rest: Option<&str>,
    visit: &mut dyn FnMut(View<'a>, &'static Schema),
) {
    match (view, schema.kind) {
        (View::List(list), Kind::List { element, .. }) => {
            for at in 0..list.len() {
                if let Some(view) = list.get(at) {
                    descend(view, element.schema, rest, visit);
                }
            }
        }
        (View::Structure(members), Kind::Structure(_)) => match rest {
            Some(rest) => Input { schema, members }.visit(rest, visit),
            None => visit(view, schema),
        },
        (view, _) if rest.is_none() => visit(view, schema),
        _ => {}
    }
}

/// A scalar as condition keys have it.
fn text(view: View<'_>) -> Option<String> {
    let text: Cow<'_, str> = match view {
        View::Boolean(value) => if value { "true" } else { "false" }.into(),
        View::Integer(value) => value.to_string().into(),
        View::Long(value) => value.to_string().into(),
        View::Float(value) => value.to_string().into(),
        View::Double(value) => value.to_string().into(),
        View::String(value) => value.into(),
        View::Timestamp(value) => value.to_string().into(),
        View::Blob(_) | View::Document(_) | View::List(_) | View::Map(_) | View::Structure(_) => {
            return None;
        }
    };
    Some(text.into_owned())
}
