//! From text to a valid document.

use crate::compile::Compiled;
use crate::document::{Clause, Condition, Document, Effect, Principals, Statement, Version};
use crate::error::{Invalid, Kind, Reason};
use crate::json::Node;
use crate::operator::Operator;
use crate::principal::{Principal, PrincipalType};
use std::collections::HashSet;
use std::sync::Arc;

/// How the resources of an IAM ARN begin.
pub(crate) const IAM_RESOURCES: &[&str] = &[
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

impl Document {
    /// Reads and validates a document. Whether the users and roles that it names exist, which AWS
    /// checks too, is for the caller to find out: see [`Document::principals`].
    ///
    /// # Errors
    /// What AWS refuses in a document of this kind, and texts of more than `max_bytes` bytes, white
    /// space included; IAM's quotas leave that out, and are counted apart.
    pub fn parse(text: &str, max_bytes: usize, kind: Kind) -> Result<Self, Invalid> {
        read(text, max_bytes, kind).map_err(|reason| Invalid { kind, reason })
    }
}

fn read(text: &str, max_bytes: usize, kind: Kind) -> Result<Document, Reason> {
    if text.len() > max_bytes {
        return Err(Reason::TooLarge { max_bytes });
    }
    if !text.starts_with('{') {
        return Err(Reason::NotJson);
    }
    let node = serde_json::from_str(text).map_err(|_| Reason::NotJson)?;
    let (mut version, mut id, mut statements) = (None, None, None);
    for (name, value) in entries(node, "Policy")? {
        match name.as_str() {
            "Version" => version = Some(read_version(value)?),
            "Id" => id = Some(string(value, "Id")?),
            "Statement" => statements = Some(read_statements(value, kind)?),
            _ => return Err(Reason::UnknownField(name)),
        }
    }
    let statements = statements.ok_or(Reason::MissingField("Statement"))?;
    match (kind, version) {
        (Kind::Resource | Kind::Trust | Kind::Session, _) | (_, Some(Version::V2012)) => {}
        (Kind::Identity | Kind::Boundary, _) => return Err(Reason::OldVersion),
    }
    let mut sids = HashSet::new();
    for sid in statements.iter().filter_map(Statement::sid) {
        if !sid.is_empty() && !sids.insert(sid) {
            return Err(Reason::DuplicateSid(sid.to_owned()));
        }
    }
    let version = version.unwrap_or(Version::V2008);
    let compiled = Arc::new(Compiled::new(version, &statements)?);
    Ok(Document { version, id, statements, compiled })
}

/// The entries of an object in which no key stands twice.
fn entries(node: Node, what: &'static str) -> Result<Vec<(String, Node)>, Reason> {
    let Node::Object(entries) = node else { return Err(Reason::WrongType(what)) };
    let mut seen = HashSet::new();
    let twice = entries.iter().find(|(name, _)| !seen.insert(name.as_str()));
    match twice {
        Some((name, _)) => Err(Reason::DuplicateKey(name.clone())),
        None => Ok(entries),
    }
}

fn string(node: Node, what: &'static str) -> Result<String, Reason> {
    match node {
        Node::Text(text) => Ok(text),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::List(_) | Node::Object(_) => {
            Err(Reason::WrongType(what))
        }
    }
}

/// A string, or a list of some.
fn strings(node: Node, what: &'static str) -> Result<Vec<String>, Reason> {
    let list = match node {
        Node::List(items) => {
            items.into_iter().map(|item| string(item, what)).collect::<Result<Vec<_>, _>>()?
        }
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Object(_) => {
            vec![string(node, what)?]
        }
    };
    if list.is_empty() { Err(Reason::MissingField(what)) } else { Ok(list) }
}

fn read_version(node: Node) -> Result<Version, Reason> {
    match string(node, "Version")?.as_str() {
        "2012-10-17" => Ok(Version::V2012),
        "2008-10-17" => Ok(Version::V2008),
        other => Err(Reason::Version(other.to_owned())),
    }
}

fn read_statements(node: Node, kind: Kind) -> Result<Vec<Statement>, Reason> {
    let list = match node {
        Node::List(list) if list.is_empty() => return Err(Reason::EmptyStatement),
        Node::List(list) => list,
        Node::Object(_) => vec![node],
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {
            return Err(Reason::WrongType("Statement"));
        }
    };
    list.into_iter().map(|node| read_statement(node, kind)).collect()
}

/// The elements of a statement as they come.
#[derive(Default)]
struct Elements {
    sid: Option<String>,
    effect: Option<Effect>,
    principals: Option<Clause<Principals>>,
    actions: Option<Clause<Vec<String>>>,
    resources: Option<Clause<Vec<String>>>,
    conditions: Vec<Condition>,
}

fn read_statement(node: Node, kind: Kind) -> Result<Statement, Reason> {
    let elements = entries(node, "Statement")?;
    if elements.is_empty() {
        return Err(Reason::EmptyStatement);
    }
    let mut read = Elements::default();
    for (name, value) in elements {
        read.take(name, value, kind)?;
    }
    let effect = read.effect.ok_or(Reason::MissingField("Effect"))?;
    match kind {
        Kind::Resource | Kind::Trust if read.principals.is_none() => {
            return Err(Reason::MissingField("Principal"));
        }
        Kind::Identity | Kind::Boundary | Kind::Session if read.principals.is_some() => {
            return Err(Reason::ProhibitedField("Principal"));
        }
        Kind::Trust if read.resources.is_some() => {
            return Err(Reason::ProhibitedField("Resource"));
        }
        Kind::Identity | Kind::Resource | Kind::Trust | Kind::Boundary | Kind::Session => {}
    }
    let actions = read.actions.ok_or(Reason::MissingField("Action"))?;
    if kind != Kind::Trust && read.resources.is_none() {
        return Err(Reason::MissingField("Resource"));
    }
    check_actions(actions.listed(), kind)?;
    if let Some(resources) = &read.resources {
        resources.listed().iter().try_for_each(|text| check_resource(text, kind))?;
    }
    let Elements { sid, principals, resources, conditions, .. } = read;
    Ok(Statement { sid, effect, principals, actions, resources, conditions })
}

impl Elements {
    fn take(&mut self, name: String, value: Node, kind: Kind) -> Result<(), Reason> {
        match name.as_str() {
            "Sid" => self.sid = Some(read_sid(value, kind)?),
            "Effect" => self.effect = Some(read_effect(value)?),
            "Principal" => {
                put(&mut self.principals, Clause::Is(read_principals(value)?), "Principal")?;
            }
            "NotPrincipal" => {
                put(&mut self.principals, Clause::Not(read_principals(value)?), "Principal")?;
            }
            "Action" => put(&mut self.actions, Clause::Is(strings(value, "Action")?), "Action")?,
            "NotAction" => {
                put(&mut self.actions, Clause::Not(strings(value, "Action")?), "Action")?;
            }
            "Resource" => {
                put(&mut self.resources, Clause::Is(strings(value, "Resource")?), "Resource")?;
            }
            "NotResource" => {
                put(&mut self.resources, Clause::Not(strings(value, "Resource")?), "Resource")?;
            }
            "Condition" => self.conditions = read_conditions(value)?,
            _ => return Err(Reason::UnknownField(name)),
        }
        Ok(())
    }
}

fn put<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), Reason> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Reason::BothFields(
            name,
            match name {
                "Principal" => "NotPrincipal",
                "Action" => "NotAction",
                _ => "NotResource",
            },
        )),
    }
}

/// IAM takes letters and digits, S3 any text.
fn read_sid(node: Node, kind: Kind) -> Result<String, Reason> {
    let sid = string(node, "Sid")?;
    let plain = sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain || kind == Kind::Resource { Ok(sid) } else { Err(Reason::Sid(sid)) }
}

fn read_effect(node: Node) -> Result<Effect, Reason> {
    let effect = string(node, "Effect")?;
    match effect.as_str() {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        _ => Err(Reason::Effect(effect)),
    }
}

fn read_principals(node: Node) -> Result<Principals, Reason> {
    let invalid = |name: &str, value: &str| {
        Err(Reason::Principal { name: name.to_owned(), value: value.to_owned() })
    };
    let groups = match node {
        Node::Text(text) if text == "*" => return Ok(Principals::Everyone),
        Node::Text(text) => return invalid("AWS", &text),
        Node::Object(_) => entries(node, "Principal")?,
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::List(_) => return invalid("AWS", ""),
    };
    let mut principals = Vec::new();
    for (name, value) in groups {
        let Some(kind) = PrincipalType::parse(&name) else { return invalid(&name, "") };
        let Ok(values) = strings(value, "Principal") else { return invalid(&name, "") };
        for value in values {
            match Principal::parse(kind, &value) {
                Some(principal) => principals.push(principal),
                None => return invalid(&name, &value),
            }
        }
    }
    if principals.is_empty() { invalid("AWS", "") } else { Ok(Principals::Listed(principals)) }
}

fn check_actions(actions: &[String], kind: Kind) -> Result<(), Reason> {
    for action in actions {
        let (vendor, name) = match action.split_once(':') {
            Some(parts) => parts,
            None if action == "*" && kind != Kind::Trust => continue,
            None if kind == Kind::Trust => return Err(Reason::TrustAction(action.clone())),
            None => return Err(Reason::Action(action.clone())),
        };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if vendor.is_empty() || !vendor.bytes().all(valid) {
            return Err(Reason::Vendor(vendor.to_owned()));
        }
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(valid) {
            return Err(Reason::Action(action.clone()));
        }
        if kind == Kind::Trust && !vendor.eq_ignore_ascii_case("sts") {
            return Err(Reason::TrustAction(action.clone()));
        }
    }
    Ok(())
}

fn check_resource(resource: &str, kind: Kind) -> Result<(), Reason> {
    let refuse = |reason: fn(String) -> Reason| Err(reason(resource.to_owned()));
    if resource == "*" {
        return Ok(());
    }
    let Some(rest) = resource.strip_prefix("arn:") else { return refuse(Reason::Resource) };
    let mut parts = rest.splitn(5, ':');
    let partition = parts.next().unwrap_or_default();
    if !partition.starts_with("aws") && !partition.contains('*') {
        return refuse(Reason::Partition);
    }
    let (service, region) = (parts.next(), parts.next());
    if service.is_some_and(str::is_empty) {
        return refuse(Reason::Resource);
    }
    if let (Some("iam"), Some(region), Some(_), Some(path)) =
        (service, region, parts.next(), parts.next())
        && kind != Kind::Resource
        && !resource.contains("${")
    {
        let known = IAM_RESOURCES.iter().any(|start| path.starts_with(start));
        if !region.is_empty() || !(known || path.starts_with('*')) {
            return refuse(Reason::IamResource);
        }
    }
    Ok(())
}

fn read_conditions(node: Node) -> Result<Vec<Condition>, Reason> {
    let mut conditions = Vec::new();
    for (name, keys) in entries(node, "Condition")? {
        let operator =
            Operator::parse(&name).ok_or_else(|| Reason::ConditionOperator(name.clone()))?;
        let keys = entries(keys, "Condition")?;
        let mut seen = HashSet::new();
        for (key, values) in keys {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(Reason::DuplicateKey(key));
            }
            let (vendor, rest) = key.split_once(':').unwrap_or_default();
            if vendor.is_empty() || rest.is_empty() {
                return Err(Reason::ConditionKey(key));
            }
            let values = scalars(values)?;
            conditions.push(Condition { operator, key, values });
        }
    }
    Ok(conditions)
}

/// Values of a condition: strings, numbers and booleans, one or a list of some.
fn scalars(node: Node) -> Result<Vec<String>, Reason> {
    let scalar = |node| match node {
        Node::Text(text) | Node::Number(text) => Ok(text),
        Node::Bool(value) => Ok(value.to_string()),
        Node::Null | Node::List(_) | Node::Object(_) => Err(Reason::WrongType("Condition")),
    };
    let values = match node {
        Node::List(items) => items.into_iter().map(scalar).collect::<Result<Vec<_>, _>>()?,
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) | Node::Object(_) => {
            vec![scalar(node)?]
        }
    };
    if values.is_empty() { Err(Reason::WrongType("Condition")) } else { Ok(values) }
}
