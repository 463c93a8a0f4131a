//! A valid policy document, as near to its text as matters.

use crate::compile::Compiled;
use crate::operator::Operator;
use crate::principal::Principal;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;
use std::sync::Arc;

/// The version of the policy language. The older one has no policy variables: `${` is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `2008-10-17`, and the default.
    V2008,
    /// `2012-10-17`.
    V2012,
}

impl Version {
    /// The version as documents write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2008 => "2008-10-17",
            Self::V2012 => "2012-10-17",
        }
    }
}

/// What a statement does to the requests that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Allows them, unless something denies them.
    Allow,
    /// Denies them, whatever else allows them.
    Deny,
}

/// An element or its negation: `Action` and `NotAction`, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause<T> {
    /// What is listed.
    Is(T),
    /// All but what is listed.
    Not(T),
}

impl<T> Clause<T> {
    /// What is listed, under either name.
    pub const fn listed(&self) -> &T {
        match self {
            Self::Is(listed) | Self::Not(listed) => listed,
        }
    }
}

/// The principals that a statement lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principals {
    /// `"Principal": "*"`.
    Everyone,
    /// By their kinds.
    Listed(Vec<Principal>),
}

/// One comparison: an operator, a key, and the values any of which will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub(crate) operator: Operator,
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
}

impl Condition {
    /// The operator.
    #[must_use]
    pub const fn operator(&self) -> Operator {
        self.operator
    }

    /// The condition key as written; keys compare without regard to case.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The values, at least one.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    pub(crate) principals: Option<Clause<Principals>>,
    pub(crate) actions: Clause<Vec<String>>,
    pub(crate) resources: Option<Clause<Vec<String>>>,
    pub(crate) conditions: Vec<Condition>,
}

impl Statement {
    /// The statement's ID.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What it does.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// Whom it is about; none in documents attached to an identity.
    #[must_use]
    pub const fn principals(&self) -> Option<&Clause<Principals>> {
        self.principals.as_ref()
    }

    /// The actions, with wildcards, as written.
    #[must_use]
    pub const fn actions(&self) -> &Clause<Vec<String>> {
        &self.actions
    }

    /// The resources, with wildcards and variables, as written; none in trust policies.
    #[must_use]
    pub const fn resources(&self) -> Option<&Clause<Vec<String>>> {
        self.resources.as_ref()
    }

    /// The comparisons, all of which must hold.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }
}

/// A valid policy document. `Display` writes it as JSON that parses to the same document.
#[derive(Debug, Clone)]
pub struct Document {
    pub(crate) version: Version,
    pub(crate) id: Option<String>,
    pub(crate) statements: Vec<Statement>,
    /// Made of the others, by `parse`, which refuses what doesn't compile.
    pub(crate) compiled: Arc<Compiled>,
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        (self.version, &self.id, &self.statements) == (other.version, &other.id, &other.statements)
    }
}

impl Eq for Document {}

impl Document {
    /// The document in the form that decisions take: to be kept in place of the text, and shared.
    #[must_use]
    pub fn compile(&self) -> Arc<Compiled> {
        Arc::clone(&self.compiled)
    }

    /// The language's version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The document's ID.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The statements, at least one.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Every principal that the document names, so that whoever knows which users and roles exist
    /// can refuse the others, as AWS does.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.statements.iter().filter_map(|statement| statement.principals.as_ref()).flat_map(
            |clause| match clause.listed() {
                Principals::Everyone => [].iter(),
                Principals::Listed(principals) => principals.iter(),
            },
        )
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Version", self.version.as_str())?;
        if let Some(id) = &self.id {
            map.serialize_entry("Id", id)?;
        }
        map.serialize_entry("Statement", &self.statements)?;
        map.end()
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(sid) = &self.sid {
            map.serialize_entry("Sid", sid)?;
        }
        let effect = match self.effect {
            Effect::Allow => "Allow",
            Effect::Deny => "Deny",
        };
        map.serialize_entry("Effect", effect)?;
        match &self.principals {
            Some(Clause::Is(principals)) => map.serialize_entry("Principal", principals)?,
            Some(Clause::Not(principals)) => map.serialize_entry("NotPrincipal", principals)?,
            None => {}
        }
        match &self.actions {
            Clause::Is(actions) => map.serialize_entry("Action", &OneOrMany(actions))?,
            Clause::Not(actions) => map.serialize_entry("NotAction", &OneOrMany(actions))?,
        }
        match &self.resources {
            Some(Clause::Is(list)) => map.serialize_entry("Resource", &OneOrMany(list))?,
            Some(Clause::Not(list)) => map.serialize_entry("NotResource", &OneOrMany(list))?,
            None => {}
        }
        if !self.conditions.is_empty() {
            map.serialize_entry("Condition", &Conditions(&self.conditions))?;
        }
        map.end()
    }
}

struct OneOrMany<'a, T>(&'a [T]);

impl<T: Serialize> Serialize for OneOrMany<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl Serialize for Principals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listed = match self {
            Self::Everyone => return serializer.serialize_str("*"),
            Self::Listed(listed) => listed,
        };
        let mut map = serializer.serialize_map(None)?;
        for group in listed.chunk_by(|a, b| a.kind() == b.kind()) {
            let values: Vec<_> = group.iter().map(Principal::as_str).collect();
            map.serialize_entry(group[0].kind().as_str(), &OneOrMany(&values))?;
        }
        map.end()
    }
}

/// Conditions in the order of the document, grouped by operator.
struct Conditions<'a>(&'a [Condition]);

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for group in self.0.chunk_by(|a, b| a.operator == b.operator) {
            map.serialize_entry(&group[0].operator.to_string(), &Keys(group))?;
        }
        map.end()
    }
}

struct Keys<'a>(&'a [Condition]);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for condition in self.0 {
            map.serialize_entry(&condition.key, &OneOrMany(&condition.values))?;
        }
        map.end()
    }
}
