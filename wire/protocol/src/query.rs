//! What the two query protocols share: dotted parameter names, read by a schema.
//!
//! The parameters are sorted by the segments of their names, so that the parameters of every structure,
//! list element and map entry stand together: decoding walks slices and builds no tree.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use shapes::{Element, Kind, Member, Members, Schema, Value, View};

use crate::decode::{DecodeError, Expected};
use crate::form::Form;
use crate::timestamp;

/// How deep structures may nest.
const MAX_DEPTH: usize = 32;
/// How much of a bad value an error repeats.
const MAX_ECHO_CHARS: usize = 256;

/// Parameters that are no member of any input.
const RESERVED: &[&str] = &[
    "Action",
    "Version",
    "AWSAccessKeyId",
    "AUTHPARAMS",
    "Expires",
    "SecurityToken",
    "Signature",
    "SignatureMethod",
    "SignatureVersion",
    "Timestamp",
];

/// Clients differ in whether they pad.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Ec2,
    Query,
}

impl Dialect {
    fn name_of(self, member: &Member) -> &'static str {
        match self {
            Self::Ec2 => member.ec2,
            Self::Query => member.wire,
        }
    }
}

/// A parameter: its name and its value.
type Parameter<'a> = (&'a str, &'a str);

/// Parameters whose names begin alike, up to an offset.
#[derive(Clone, Copy)]
struct Group<'a, 'p> {
    parameters: &'p [Parameter<'a>],
    /// A name that begins so.
    name: &'a str,
    /// Where in the names the part begins that differs; past the end of a name that has no more.
    offset: usize,
}

pub fn decode(
    dialect: Dialect,
    schema: &'static Schema,
    form: &Form,
) -> Result<Value, DecodeError> {
    let mut parameters: Vec<Parameter<'_>> =
        form.iter().filter(|(name, _)| !is_reserved(name)).collect();
    // Stable: the first of two equal names stays first, and counts.
    parameters.sort_by(|(a, _), (b, _)| a.split('.').cmp(b.split('.')));
    Decoder { dialect }.structure(
        schema.members(),
        Group { parameters: &parameters, name: "", offset: 0 },
        0,
    )
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("X-Amz-"))
}

impl<'a, 'p> Group<'a, 'p> {
    /// The name up to here, as `Filter.1`.
    fn path(self) -> &'a str {
        self.name.get(..self.offset.saturating_sub(1)).unwrap_or(self.name)
    }

    /// Values of the name itself, then the parameters below it.
    fn split(self) -> (&'p [Parameter<'a>], Self) {
        let own = self.parameters.partition_point(|(name, _)| name.len() < self.offset);
        let (own, below) = self.parameters.split_at(own);
        (own, Group { parameters: below, ..self })
    }

    /// The groups of the next segment, in the order of their names.
    fn segments(self) -> impl Iterator<Item = (&'a str, Group<'a, 'p>)> {
        let mut rest = self.parameters;
        std::iter::from_fn(move || {
            let (name, _) = rest.first()?;
            let segment = segment(name, self.offset);
            let same = rest
                .partition_point(|(name, _)| crate::query::segment(name, self.offset) <= segment);
            let (group, after) = rest.split_at(same.max(1));
            rest = after;
            Some((
                segment,
                Group { parameters: group, name, offset: self.offset + segment.len() + 1 },
            ))
        })
    }

    fn unknown(self) -> DecodeError {
        let name = self.parameters.first().map_or(self.name, |(name, _)| name);
        DecodeError::Unknown { path: clipped(name) }
    }
}

fn segment(name: &str, offset: usize) -> &str {
    let rest = name.get(offset..).unwrap_or("");
    rest.split_once('.').map_or(rest, |(segment, _)| segment)
}

struct Decoder {
    dialect: Dialect,
}

impl Decoder {
    fn structure(
        &self,
        members: &'static [Member],
        group: Group<'_, '_>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        if depth > MAX_DEPTH {
            return Err(group.unknown());
        }
        let mut values = Vec::new();
        for (segment, below) in group.segments() {
            let named = |member: &Member| self.dialect.name_of(member) == segment;
            if let Some(index) = members.iter().position(named) {
                let member = &members[index];
                let value = self.value(member.schema, member.flattened, below, depth)?;
                values.push((index, value));
            } else if self.dialect == Dialect::Ec2 {
                return Err(below.unknown());
            }
        }
        values.sort_by_key(|(index, _)| *index);
        for (index, member) in members.iter().enumerate().filter(|(_, member)| member.required) {
            if values.binary_search_by_key(&index, |(index, _)| *index).is_err() {
                let name = self.dialect.name_of(member);
                let path = match group.path() {
                    "" => name.to_owned(),
                    path => format!("{path}.{name}"),
                };
                return Err(DecodeError::Missing { path });
            }
        }
        Ok(Value::Structure(values))
    }

    fn value(
        &self,
        schema: &'static Schema,
        flattened: bool,
        group: Group<'_, '_>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let (own, below) = group.split();
        match schema.kind {
            Kind::List { element, flattened: always } => {
                self.empty_or_below(own, group)?;
                let flattened = flattened || always || self.dialect == Dialect::Ec2;
                let name = (!flattened).then(|| element.name.unwrap_or("member"));
                self.list(element, self.within(name, below)?, depth)
            }
            Kind::Map { key, value, flattened: always } => {
                self.empty_or_below(own, group)?;
                let flattened = flattened || always || self.dialect == Dialect::Ec2;
                let name = (!flattened).then_some("entry");
                self.map(key, value, self.within(name, below)?, depth)
            }
            Kind::Structure(members) => {
                self.empty_or_below(own, group)?;
                self.structure(members, below, depth + 1)
            }
            Kind::Boolean
            | Kind::Integer
            | Kind::Long
            | Kind::Float
            | Kind::Double
            | Kind::String
            | Kind::Blob
            | Kind::Timestamp(_)
            | Kind::Document
            | Kind::Enum(_) => match own.first() {
                Some(_) if !below.parameters.is_empty() && self.dialect == Dialect::Ec2 => {
                    Err(below.unknown())
                }
                Some((name, text)) => scalar(&schema.kind, text).map_err(|expected| {
                    DecodeError::Invalid { path: clipped(name), value: clipped(text), expected }
                }),
                None => Err(below.unknown()),
            },
        }
    }

    /// A composite has no value of its own but an empty one, which says that it is empty.
    fn empty_or_below(
        &self,
        own: &[Parameter<'_>],
        group: Group<'_, '_>,
    ) -> Result<(), DecodeError> {
        if own.iter().all(|(_, value)| value.is_empty()) { Ok(()) } else { Err(group.unknown()) }
    }

    /// The group below a fixed segment, such as `member`.
    fn within<'a, 'p>(
        &self,
        name: Option<&str>,
        group: Group<'a, 'p>,
    ) -> Result<Group<'a, 'p>, DecodeError> {
        let Some(name) = name else { return Ok(group) };
        let mut within = Group { parameters: &[], ..group };
        for (segment, below) in group.segments() {
            if segment != name {
                return Err(below.unknown());
            }
            within = below;
        }
        Ok(within)
    }

    fn list(
        &self,
        element: Element,
        group: Group<'_, '_>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let elements = numbered(group)?;
        let values =
            elements.into_iter().map(|below| self.value(element.schema, false, below, depth));
        values.collect::<Result<_, _>>().map(Value::List)
    }

    fn map(
        &self,
        key: Element,
        value: Element,
        group: Group<'_, '_>,
        depth: usize,
    ) -> Result<Value, DecodeError> {
        let (key_name, value_name) = (key.name.unwrap_or("key"), value.name.unwrap_or("value"));
        let mut entries = std::collections::BTreeMap::new();
        for entry in numbered(group)? {
            let (_, below) = entry.split();
            let (mut found_key, mut found_value) = (None, None);
            for (segment, part) in below.segments() {
                if segment == key_name {
                    found_key = Some(self.value(key.schema, false, part, depth)?);
                } else if segment == value_name {
                    found_value = Some(self.value(value.schema, false, part, depth + 1)?);
                } else {
                    return Err(part.unknown());
                }
            }
            let missing = |name| DecodeError::Missing { path: format!("{}.{name}", entry.path()) };
            let Some(Value::String(text)) = found_key else { return Err(missing(key_name)) };
            entries.insert(text, found_value.ok_or_else(|| missing(value_name))?);
        }
        Ok(Value::Map(entries))
    }
}

/// The elements of a list by their numbers, which may have gaps: `X.1`, `X.2`, `X.10`.
fn numbered<'a, 'p>(group: Group<'a, 'p>) -> Result<Vec<Group<'a, 'p>>, DecodeError> {
    let mut elements = Vec::new();
    for (segment, below) in group.segments() {
        let plain = segment == "0" || !segment.starts_with(['0', '+']);
        match segment.parse::<u64>() {
            Ok(number) if plain => elements.push((number, below)),
            Ok(_) | Err(_) => return Err(below.unknown()),
        }
    }
    elements.sort_by_key(|(number, _)| *number);
    Ok(elements.into_iter().map(|(_, below)| below).collect())
}

fn scalar(kind: &Kind, text: &str) -> Result<Value, Expected> {
    match kind {
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err(Expected::Boolean),
        Kind::Integer => text.parse().map(Value::Integer).map_err(|_| Expected::Integer),
        Kind::Long => text.parse().map(Value::Long).map_err(|_| Expected::Integer),
        Kind::Float => number(text)
            .and_then(|text| text.parse().ok())
            .map(Value::Float)
            .ok_or(Expected::Number),
        Kind::Double => number(text)
            .and_then(|text| text.parse().ok())
            .map(Value::Double)
            .ok_or(Expected::Number),
        Kind::Blob => {
            let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            BASE64.decode(text).map(Value::Blob).map_err(|_| Expected::Blob)
        }
        Kind::Timestamp(_) => {
            timestamp::parse(text).map(Value::Timestamp).ok_or(Expected::Timestamp)
        }
        Kind::Enum(values) if !values.contains(&text) => Err(Expected::OneOf(values)),
        Kind::String
        | Kind::Enum(_)
        | Kind::List { .. }
        | Kind::Map { .. }
        | Kind::Structure(_) => Ok(Value::String(text.to_owned())),
        // Query services have none.
        Kind::Document => Err(Expected::Structure),
    }
}

/// Text that Rust's parser may see, which would also take `inf` and `nan`.
fn number(text: &str) -> Option<&str> {
    let words = ["NaN", "Infinity", "-Infinity"].contains(&text);
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    (words || digits).then_some(text)
}

pub fn clipped(text: &str) -> String {
    text.chars().take(MAX_ECHO_CHARS).collect()
}

/// An error's members but for its message, which a fault has of its own.
pub struct WithoutMessage<'a> {
    pub schema: &'static Schema,
    pub members: &'a dyn Members,
}

impl Members for WithoutMessage<'_> {
    fn member(&self, index: usize) -> Option<View<'_>> {
        let name = self.schema.members().get(index)?.wire;
        if name.eq_ignore_ascii_case("message") { None } else { self.members.member(index) }
    }
}
