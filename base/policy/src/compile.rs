//! Documents, compiled: statements found by action, everything else ready to be compared.

use crate::arn::{ArnPattern, Target};
use crate::condition::Comparison;
use crate::context::Context;
use crate::document::{Clause, Effect, Statement, Version};
use crate::error::Reason;
use crate::pattern::Pattern;
use crate::principal::PrincipalMatcher;
use std::cmp::Ordering;

/// A document ready for decisions. Immutable, and to be shared between threads and requests.
#[derive(Debug)]
pub struct Compiled {
    statements: Box<[Ready]>,
    /// By service, in lower case, sorted.
    services: Box<[(Box<str>, Service)]>,
    /// Statements that concern every service: `*` and `NotAction`.
    everywhere: Box<[(ActionRest, usize)]>,
}

/// The statements of one service.
#[derive(Debug, Default)]
struct Service {
    /// By the action's name, in lower case, sorted.
    exact: Vec<(Box<str>, usize)>,
    wild: Vec<(NamePattern, usize)>,
}

/// The actions of a statement that is listed under no service.
#[derive(Debug)]
enum ActionRest {
    All,
    AllBut(Box<[ActionPattern]>),
}

/// What follows the colon, in lower case.
#[derive(Debug)]
enum NamePattern {
    Prefix(Box<str>),
    Other(Pattern),
}

#[derive(Debug)]
enum ActionPattern {
    All,
    One { service: Box<str>, name: NamePattern },
}

/// A statement without its actions.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) effect: Effect,
    pub(crate) principals: Option<PrincipalMatcher>,
    resources: Resources,
    conditions: Box<[Comparison]>,
}

#[derive(Debug)]
enum Resources {
    All,
    Is(Box<[ArnPattern]>),
    Not(Box<[ArnPattern]>),
}

impl Compiled {
    /// Prepares statements for decisions.
    ///
    /// # Errors
    /// A resource or a condition's value that means nothing.
    pub(crate) fn new(version: Version, statements: &[Statement]) -> Result<Self, Reason> {
        let variables = version == Version::V2012;
        let mut index = Index::default();
        for (number, statement) in (0..).zip(statements) {
            index.add(number, &statement.actions);
        }
        let mut services: Vec<_> = index.services.into_iter().collect();
        for (_, service) in &mut services {
            service.exact.sort_unstable();
            service.exact.dedup();
        }
        let ready = statements.iter().map(|one| Ready::new(one, variables));
        Ok(Self {
            statements: ready.collect::<Result<_, _>>()?,
            services: services.into(),
            everywhere: index.everywhere.into(),
        })
    }
}

#[derive(Default)]
struct Index {
    services: std::collections::BTreeMap<Box<str>, Service>,
    everywhere: Vec<(ActionRest, usize)>,
}

impl Index {
    fn add(&mut self, number: usize, actions: &Clause<Vec<String>>) {
        let actions = match actions {
            Clause::Is(actions) => actions,
            Clause::Not(actions) => {
                let but = actions.iter().map(|action| ActionPattern::new(action)).collect();
                return self.everywhere.push((ActionRest::AllBut(but), number));
            }
        };
        for action in actions {
            let Some((service, name)) = action.split_once(':') else {
                self.everywhere.push((ActionRest::All, number));
                continue;
            };
            let service = self.services.entry(service.to_ascii_lowercase().into()).or_default();
            if name.contains(['*', '?']) {
                service.wild.push((NamePattern::new(name), number));
            } else {
                service.exact.push((name.to_ascii_lowercase().into(), number));
            }
        }
    }
}

impl Compiled {
    /// Calls `visit` with each statement that concerns the action; more than once where several of
    /// its patterns fit.
    pub(crate) fn for_action(&self, action: &str, mut visit: impl FnMut(usize, &Ready)) {
        let mut visit = |number: usize| {
            if let Some(statement) = self.statements.get(number) {
                visit(number, statement);
            }
        };
        let (service, name) = action.split_once(':').unwrap_or((action, ""));
        for (rest, number) in &self.everywhere {
            let concerned = match rest {
                ActionRest::All => true,
                ActionRest::AllBut(but) => !but.iter().any(|one| one.matches(service, name)),
            };
            if concerned {
                visit(*number);
            }
        }
        let found = self.services.binary_search_by(|entry| compare_folded(&entry.0, service));
        let Some((_, statements)) = found.ok().and_then(|at| self.services.get(at)) else {
            return;
        };
        for (pattern, number) in &statements.wild {
            if pattern.matches(name) {
                visit(*number);
            }
        }
        let from = statements.exact.partition_point(|one| compare_folded(&one.0, name).is_lt());
        for (exact, number) in &statements.exact[from..] {
            if !exact.eq_ignore_ascii_case(name) {
                break;
            }
            visit(*number);
        }
    }
}

/// Compares a text in lower case with one in any case.
fn compare_folded(lower: &str, other: &str) -> Ordering {
    lower.bytes().cmp(other.bytes().map(|byte| byte.to_ascii_lowercase()))
}

impl ActionPattern {
    fn new(action: &str) -> Self {
        match action.split_once(':') {
            None => Self::All,
            Some((service, name)) => Self::One {
                service: service.to_ascii_lowercase().into(),
                name: NamePattern::new(name),
            },
        }
    }

    fn matches(&self, service: &str, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::One { service: wanted, name: pattern } => {
                wanted.eq_ignore_ascii_case(service) && pattern.matches(name)
            }
        }
    }
}

impl NamePattern {
    fn new(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        match lower.strip_suffix('*') {
            Some(prefix) if !prefix.contains(['*', '?']) => Self::Prefix(prefix.into()),
            _ => Self::Other(Pattern::wild(&lower)),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Prefix(prefix) => name
                .as_bytes()
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())),
            Self::Other(pattern) => pattern.matches_folded(name),
        }
    }
}

impl Ready {
    fn new(statement: &Statement, variables: bool) -> Result<Self, Reason> {
        let patterns = |list: &[String]| -> Result<Box<[ArnPattern]>, Reason> {
            let parse = |text: &String| {
                let pattern = ArnPattern::parse(text, variables, true);
                pattern.ok_or_else(|| Reason::Resource(text.clone()))
            };
            list.iter().map(parse).collect()
        };
        let conditions = statement.conditions.iter().map(|one| Comparison::new(one, variables));
        Ok(Self {
            effect: statement.effect,
            principals: statement.principals.as_ref().map(PrincipalMatcher::new),
            resources: match &statement.resources {
                None => Resources::All,
                Some(Clause::Is(list)) => Resources::Is(patterns(list)?),
                Some(Clause::Not(list)) => Resources::Not(patterns(list)?),
            },
            conditions: conditions.collect::<Result<_, _>>()?,
        })
    }

    /// Whether resource and conditions fit.
    pub(crate) fn fits(&self, resource: &Target<'_>, context: &Context<'_>) -> bool {
        let within = match &self.resources {
            Resources::All => true,
            Resources::Is(list) => list.iter().any(|one| one.matches(resource, context)),
            Resources::Not(list) => !list.iter().any(|one| one.matches(resource, context)),
        };
        within && self.conditions.iter().all(|condition| condition.holds(context))
    }
}
