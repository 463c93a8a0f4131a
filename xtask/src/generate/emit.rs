//! Rust text for a service's shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result, bail};

use crate::generate::{HEADER, patterns};
use crate::model::{Model, Namespace, Reference, Shape};
use crate::names;

/// Enumerations larger than this are strings: nobody matches on 1,200 instance types.
const MAX_VARIANTS: usize = 150;

const SCHEMA_IMPORTS: &str = "\
use crate::schema::{
    BLOB, BOOLEAN, DOUBLE, Element, FLOAT, INTEGER, Kind, LONG, Location, Member, Namespace, STRING, Schema,
    TIMESTAMP, TIMESTAMP_HTTP, TIMESTAMP_ISO, TIMESTAMP_UNIX,
};
";

/// The files of a service, as module name and text; the service's own module has no name.
pub fn service(model: &Model, served: BTreeSet<String>) -> Result<Vec<(&'static str, String)>> {
    let mut service = Service { model, shapes: BTreeMap::new(), operations: Vec::new() };
    for name in served {
        service.serve(&name)?;
    }
    let mut files = vec![
        ("", service.root()),
        ("ops", service.ops()),
        ("schemas", service.schemas()?),
        ("structures", service.structures()?),
    ];
    if service.has_enums() {
        files.push(("enums", service.enums()));
    }
    Ok(files)
}

/// A served operation with the names of its structures.
struct Served {
    name: String,
    input: String,
    output: String,
}

struct Service<'a> {
    model: &'a Model,
    /// The shapes that served operations reach; `None` for an output that the model leaves out.
    shapes: BTreeMap<String, Option<&'a Shape>>,
    operations: Vec<Served>,
}

impl<'a> Service<'a> {
    fn serve(&mut self, name: &str) -> Result<()> {
        let operation = self.model.operations.get(name).context("the model lacks it")?;
        let input = self.reach_or_invent(operation.input.as_ref(), format!("{name}Request"))?;
        let output = self.reach_or_invent(operation.output.as_ref(), format!("{name}Response"))?;
        self.operations.push(Served { name: name.to_owned(), input, output });
        Ok(())
    }

    fn reach_or_invent(&mut self, to: Option<&Reference>, name: String) -> Result<String> {
        if let Some(reference) = to {
            self.reach(&reference.shape)?;
            return Ok(reference.shape.clone());
        }
        if self.model.shapes.contains_key(&name) {
            bail!("the model has a shape {name} but not as the operation's");
        }
        self.shapes.insert(name.clone(), None);
        Ok(name)
    }

    fn reach(&mut self, name: &str) -> Result<()> {
        if self.shapes.contains_key(name) {
            return Ok(());
        }
        let shape = self.model.shape(name)?;
        self.shapes.insert(name.to_owned(), Some(shape));
        for (_, member) in &shape.members.0 {
            self.reach(&member.shape)?;
        }
        for part in [&shape.member, &shape.key, &shape.value].into_iter().flatten() {
            self.reach(&part.shape)?;
        }
        Ok(())
    }

    fn root(&self) -> String {
        let metadata = &self.model.metadata;
        let protocol = match metadata.protocol.as_str() {
            "ec2" => "Ec2".to_owned(),
            "query" => "Query".to_owned(),
            "json" => {
                let version = if metadata.json_version == "1.0" { "V1_0" } else { "V1_1" };
                let target = &metadata.target_prefix;
                format!("Json {{ version: crate::JsonVersion::{version}, target: {target:?} }}")
            }
            "rest-json" => "RestJson".to_owned(),
            _ => "RestXml".to_owned(),
        };
        let name = metadata.signing_name.as_ref().unwrap_or(&metadata.endpoint_prefix);
        // AWS closes EC2's namespace with a slash; the model does not.
        let namespace = match metadata.xml_namespace.trim_end_matches('/') {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        let version = &metadata.api_version;
        let operations: Vec<&String> = self.model.operations.keys().collect();
        let (enums, use_enums) =
            if self.has_enums() { ("mod enums;", "pub use enums::*;") } else { ("", "") };
        format!(
            "//! Types of the service {name}, {HEADER}

            #![allow(
                clippy::single_match, clippy::too_many_lines, clippy::wildcard_imports, unused_imports,
                reason = \"generated: every service's modules are alike\"
            )]

            {enums}
            pub mod ops;
            mod schemas;
            mod structures;

            {use_enums}
            pub use structures::*;

            pub static SERVICE: crate::Service = crate::Service {{
                name: {name:?},
                protocol: crate::Protocol::{protocol},
                api_version: {version:?},
                namespace: {namespace:?},
                operations: OPERATIONS,
                served: ops::SERVED,
            }};

            /// Every operation of the model, in alphabetical order.
            pub static OPERATIONS: &[&str] = &{operations:?};
            "
        )
    }

    fn ops(&self) -> String {
        let mut text =
            format!("//! Operations served, {HEADER}\n\ncrate::operation::operations! {{\n");
        for Served { name, input, output } in &self.operations {
            let _ = writeln!(text, "    {name}: {input} => {output},");
        }
        text + "}\n"
    }

    fn enums(&self) -> String {
        let mut text =
            format!("//! Enumerations, {HEADER}\n\nuse crate::enumeration::enumeration;\n");
        for (name, shape) in self.present().filter(|(_, shape)| is_enum(shape)) {
            let _ = write!(text, "\nenumeration! {{ {} {{\n", names::capitalized(name));
            for (variant, value) in names::variants(&shape.values).iter().zip(&shape.values) {
                let _ = writeln!(text, "    {variant} = {value:?},");
            }
            text.push_str("} }\n");
        }
        text
    }

    fn structures(&self) -> Result<String> {
        let mut text = format!("//! Structures, {HEADER}\n\n");
        if self.has_enums() {
            text.push_str("use super::enums::*;\n");
        }
        text.push_str("use crate::{Members, Schema, Shape, Structure, Value, View, view};\n");
        text.push_str("use super::schemas;\n");
        let mut names = Vec::new();
        for (name, shape) in &self.shapes {
            if shape.is_none_or(|shape| shape.kind == "structure") {
                self.structure(&mut text, name, *shape)?;
                names.push(name.as_str());
            }
        }
        let _ =
            write!(text, "\ncrate::value::structures! {{\n    {},\n}}\n", names.join(",\n    "));
        Ok(text)
    }

    fn structure(&self, text: &mut String, name: &str, shape: Option<&Shape>) -> Result<()> {
        let members = shape.map_or(&[][..], |shape| &shape.members.0);
        let mut fields = String::new();
        let mut get = String::new();
        let mut set = String::new();
        let mut shown = String::new();
        let mut hides = false;
        for (index, (member, reference)) in members.iter().enumerate() {
            let field = names::field(member);
            let kind = self.field_type(name, reference)?;
            let _ = writeln!(fields, "pub {field}: Option<{kind}>,");
            let _ = writeln!(get, "{index} => view(&self.{field}),");
            let _ = writeln!(set, "{index} => self.{field} = Shape::from_value(value),");
            let label = field.trim_start_matches("r#");
            if self.model.shape(&reference.shape)?.sensitive {
                hides = true;
                let _ = write!(shown, ".field({label:?}, &crate::value::hidden(&self.{field}))");
            } else {
                let _ = write!(shown, ".field({label:?}, &self.{field})");
            }
        }
        let constant = names::constant(name);
        let _ = write!(
            text,
            "\n#[derive({}Clone, Default, PartialEq)]\npub struct {name} {{ {fields} }}\n",
            if hides { "" } else { "Debug, " }
        );
        if hides {
            let _ = write!(
                text,
                "\nimpl std::fmt::Debug for {name} {{
                    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
                        f.debug_struct({name:?}){shown}.finish()
                    }}
                }}\n"
            );
        }
        let (get, set) = if members.is_empty() {
            let get = "fn member(&self, _: usize) -> Option<View<'_>> { None }".to_owned();
            (get, "fn set_member(&mut self, _: usize, _: Value) {}".to_owned())
        } else {
            (
                format!(
                    "fn member(&self, index: usize) -> Option<View<'_>> {{
                        match index {{ {get} _ => None, }}
                    }}"
                ),
                format!(
                    "fn set_member(&mut self, index: usize, value: Value) {{
                        match index {{ {set} _ => {{}} }}
                    }}"
                ),
            )
        };
        let _ = write!(
            text,
            "\nimpl Members for {name} {{ {get} }}\n
            impl Structure for {name} {{
                const SCHEMA: &'static Schema = &schemas::{constant};\n
                {set}
            }}\n"
        );
        Ok(())
    }

    fn field_type(&self, structure: &str, reference: &Reference) -> Result<String> {
        let kind = self.rust_type(&reference.shape)?;
        let shape = self.model.shape(&reference.shape)?;
        let recursive = shape.kind == "structure"
            && self.contains(&reference.shape, structure, &mut BTreeSet::new());
        Ok(if recursive { format!("Box<{kind}>") } else { kind })
    }

    /// Whether a structure holds another by value, at any depth.
    fn contains(&self, outer: &str, inner: &str, seen: &mut BTreeSet<String>) -> bool {
        if outer == inner {
            return true;
        }
        let Some(shape) = self.model.shapes.get(outer).filter(|shape| shape.kind == "structure")
        else {
            return false;
        };
        seen.insert(outer.to_owned())
            && shape.members.0.iter().any(|(_, member)| self.contains(&member.shape, inner, seen))
    }

    fn rust_type(&self, name: &str) -> Result<String> {
        let shape = self.model.shape(name)?;
        Ok(match shape.kind.as_str() {
            "structure" => name.to_owned(),
            "string" | "character" if is_enum(shape) => names::capitalized(name),
            "string" | "character" => "String".to_owned(),
            "boolean" => "bool".to_owned(),
            "integer" => "i32".to_owned(),
            "long" => "i64".to_owned(),
            "float" => "f32".to_owned(),
            "double" => "f64".to_owned(),
            "blob" => "Vec<u8>".to_owned(),
            "timestamp" => "types::Timestamp".to_owned(),
            "list" => format!("Vec<{}>", self.rust_type(&part(&shape.member, name)?.shape)?),
            "map" => {
                let value = self.rust_type(&part(&shape.value, name)?.shape)?;
                format!("std::collections::BTreeMap<String, {value}>")
            }
            kind => bail!("{name} is of an unknown kind {kind}"),
        })
    }

    fn schemas(&self) -> Result<String> {
        let mut text = format!("//! Schemas, {HEADER}\n\n");
        if self.has_enums() {
            text.push_str("use super::enums::*;\n");
        }
        text.push_str(SCHEMA_IMPORTS);
        if self.states_limits() {
            text.push_str("use crate::limits::{self, Limits, Pattern};\n");
        }
        for (name, shape) in &self.shapes {
            let Some(kind) = self.kind(name, *shape)? else { continue };
            let constant = names::constant(name);
            let schema = match shape.and_then(|shape| shape.xml_namespace.as_ref()) {
                None => {
                    let name = if shape.is_some() { name } else { "Unit" };
                    format!("Schema::new({name:?}, {kind})")
                }
                Some(namespace) => format!(
                    "Schema {{ name: {name:?}, kind: {kind}, namespace: Some({}), limits: None }}",
                    namespace_literal(namespace)
                ),
            };
            let limits = match shape {
                Some(shape) => self.limits(name, shape)?,
                None => None,
            };
            let schema = limits
                .map_or_else(|| schema.clone(), |limits| format!("{schema}.limited({limits})"));
            let _ = write!(text, "\npub static {constant}: Schema = {schema};\n");
        }
        Ok(text)
    }

    /// The kind of a shape that has a schema of its own; scalars share theirs.
    fn kind(&self, name: &str, shape: Option<&Shape>) -> Result<Option<String>> {
        let Some(shape) = shape else { return Ok(Some("Kind::Structure(&[])".to_owned())) };
        let flattened = shape.flattened;
        Ok(match shape.kind.as_str() {
            "structure" => {
                let mut members = String::new();
                for (name, reference) in &shape.members.0 {
                    members.push_str(&self.member(
                        name,
                        reference,
                        shape.required.contains(name),
                    )?);
                }
                Some(format!("Kind::Structure(&[{members}])"))
            }
            "list" => {
                let element = self.element(part(&shape.member, name)?)?;
                Some(format!("Kind::List {{ element: {element}, flattened: {flattened} }}"))
            }
            "map" => {
                let key = self.element(part(&shape.key, name)?)?;
                let value = self.element(part(&shape.value, name)?)?;
                Some(format!("Kind::Map {{ key: {key}, value: {value}, flattened: {flattened} }}"))
            }
            // A scalar has a schema of its own if it has limits.
            "string" if !is_enum(shape) && self.limits(name, shape)?.is_some() => {
                Some("Kind::String".to_owned())
            }
            "integer" if self.limits(name, shape)?.is_some() => Some("Kind::Integer".to_owned()),
            _ => None,
        })
    }

    /// The query services state their limits in the model's words; the others have their own.
    fn states_limits(&self) -> bool {
        self.model.metadata.protocol == "query"
    }

    /// An expression for what the model limits of a shape.
    fn limits(&self, name: &str, shape: &Shape) -> Result<Option<String>> {
        let limited = ["string", "integer", "list"].contains(&shape.kind.as_str());
        if !self.states_limits() || !limited || is_enum(shape) {
            return Ok(None);
        }
        let min = shape.min.filter(|min| *min != 0.0 || shape.kind == "integer");
        if min.is_none() && shape.max.is_none() && shape.pattern.is_none() {
            return Ok(None);
        }
        let pattern = match &shape.pattern {
            None => "None".to_owned(),
            Some(text) => patterns::expression(text)
                .with_context(|| format!("{name} has an unknown pattern {text}"))?,
        };
        let number = |number: Option<f64>| match number {
            Some(number) => format!("Some({number:.0})"),
            None => "None".to_owned(),
        };
        Ok(Some(format!(
            "Limits {{ min: {}, max: {}, pattern: {pattern}, sensitive: {} }}",
            number(min),
            number(shape.max),
            shape.sensitive
        )))
    }

    fn member(&self, name: &str, reference: &Reference, required: bool) -> Result<String> {
        let target = self.model.shape(&reference.shape)?;
        // A list that is always flattened lends its elements' name.
        let element = target.member.as_ref().filter(|_| target.flattened);
        let element = element.and_then(|element| element.location_name.as_deref());
        let wire = reference.location_name.as_deref().or(element).unwrap_or(name);
        let ec2 = reference.query_name.clone().unwrap_or_else(|| names::capitalized(wire));
        let schema = self.schema(reference)?;
        let mut text = format!("Member::new({name:?}, {wire:?}, {ec2:?}, {schema})");
        if let Some(location) = &reference.location {
            let location = match location.as_str() {
                "header" => "Header",
                "headers" => "Headers",
                "querystring" => "Query",
                "uri" => "Path",
                "statusCode" => "Status",
                other => bail!("{name} is at an unknown location {other}"),
            };
            let _ = write!(text, ".at(Location::{location})");
        }
        if let Some(namespace) = &reference.xml_namespace {
            let _ = write!(text, ".namespace({})", namespace_literal(namespace));
        }
        for (is, call) in [
            (required, ".required()"),
            (reference.flattened, ".flattened()"),
            (reference.xml_attribute, ".xml_attribute()"),
            (reference.idempotency_token, ".idempotency_token()"),
            (self.is_sensitive(target)?, ".sensitive()"),
        ] {
            text.push_str(if is { call } else { "" });
        }
        Ok(text + ",")
    }

    /// Whether a member's value is a secret, or a list of secrets.
    fn is_sensitive(&self, target: &Shape) -> Result<bool> {
        let element = target.member.as_ref().map(|element| self.model.shape(&element.shape));
        let of_element = element.transpose()?.is_some_and(|element| element.sensitive);
        Ok(target.sensitive || of_element)
    }

    fn element(&self, reference: &Reference) -> Result<String> {
        let name = &reference.location_name;
        let schema = self.schema(reference)?;
        Ok(match &reference.xml_namespace {
            None => format!("Element::new({name:?}, {schema})"),
            Some(namespace) => format!(
                "Element {{ name: {name:?}, schema: {schema}, namespace: Some({}) }}",
                namespace_literal(namespace)
            ),
        })
    }

    /// An expression for the schema of a place.
    fn schema(&self, reference: &Reference) -> Result<String> {
        let name = &reference.shape;
        let shape = self.model.shape(name)?;
        Ok(match shape.kind.as_str() {
            "structure" | "list" | "map" => format!("&{}", names::constant(name)),
            "string" | "character" if is_enum(shape) => {
                format!("{}::SCHEMA", names::capitalized(name))
            }
            "character" => "&STRING".to_owned(),
            "string" | "integer" if self.limits(name, shape)?.is_some() => {
                format!("&{}", names::constant(name))
            }
            "timestamp" => {
                match reference.timestamp_format.as_ref().or(shape.timestamp_format.as_ref()) {
                    None => "&TIMESTAMP",
                    Some(format) if format == "iso8601" => "&TIMESTAMP_ISO",
                    Some(format) if format == "unixTimestamp" => "&TIMESTAMP_UNIX",
                    Some(format) if format == "rfc822" => "&TIMESTAMP_HTTP",
                    Some(format) => bail!("{name} has an unknown format {format}"),
                }
                .to_owned()
            }
            kind => format!("&{}", kind.to_ascii_uppercase()),
        })
    }

    fn has_enums(&self) -> bool {
        self.present().any(|(_, shape)| is_enum(shape))
    }

    /// The reached shapes that the model has.
    fn present(&self) -> impl Iterator<Item = (&String, &'a Shape)> {
        self.shapes.iter().filter_map(|(name, shape)| shape.map(|shape| (name, shape)))
    }
}

fn is_enum(shape: &Shape) -> bool {
    (1..=MAX_VARIANTS).contains(&shape.values.len())
}

fn part<'a>(part: &'a Option<Reference>, of: &str) -> Result<&'a Reference> {
    part.as_ref().with_context(|| format!("{of} lacks its elements"))
}

fn namespace_literal(namespace: &Namespace) -> String {
    let (prefix, uri) = match namespace {
        Namespace::Uri(uri) => (&None, uri),
        Namespace::Prefixed { prefix, uri } => (prefix, uri),
    };
    format!("Namespace {{ prefix: {prefix:?}, uri: {uri:?} }}")
}
