//! Conditions, ready to be tested against a request's context.

use crate::arn::{ArnPattern, Target};
use crate::context::Context;
use crate::date;
use crate::document::Condition;
use crate::error::Reason;
use crate::operator::{Operator, Quantifier, Test};
use crate::pattern::{Pattern, Syntax};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use types::IpNet;

/// One comparison of a statement.
#[derive(Debug)]
pub(crate) struct Comparison {
    operator: Operator,
    key: Box<str>,
    values: Box<[Value]>,
}

#[derive(Debug)]
enum Value {
    Text(Pattern),
    FoldedText(Pattern),
    Number(f64),
    Date(i128),
    Bool(bool),
    Binary(Box<[u8]>),
    Addresses(IpNet),
    Arn(ArnPattern),
}

impl Comparison {
    /// The comparison; or the first value that the operator cannot take.
    pub(crate) fn new(condition: &Condition, variables: bool) -> Result<Self, Reason> {
        let values = condition.values.iter().map(|text| {
            Value::parse(condition.operator.test, text, variables).ok_or_else(|| {
                let operator = condition.operator.to_string();
                Reason::ConditionValue { operator, value: text.clone() }
            })
        });
        Ok(Self {
            operator: condition.operator,
            key: condition.key.as_str().into(),
            values: values.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn holds(&self, context: &Context<'_>) -> bool {
        let Operator { quantifier, test, negated, if_exists } = self.operator;
        let given = context.values(&self.key);
        if test == Test::Null {
            return self
                .values
                .iter()
                .any(|value| matches!(value, Value::Bool(absent) if *absent == given.is_empty()));
        }
        if given.is_empty() && if_exists {
            return true;
        }
        let fits = |text: &str| self.values.iter().any(|value| value.fits(test, text, context));
        match quantifier {
            Some(Quantifier::ForAllValues) => given.iter().all(|text| fits(text) != negated),
            Some(Quantifier::ForAnyValue) => given.iter().any(|text| fits(text) != negated),
            // An absent key equals nothing, so that the negation holds.
            None => given.iter().any(|text| fits(text)) != negated,
        }
    }
}

impl Value {
    fn parse(test: Test, text: &str, variables: bool) -> Option<Self> {
        Some(match test {
            Test::StringEquals => {
                Self::Text(Pattern::parse(text, Syntax { wildcards: false, variables })?)
            }
            Test::StringEqualsIgnoreCase => {
                Self::FoldedText(Pattern::parse(text, Syntax { wildcards: false, variables })?)
            }
            Test::StringLike => {
                Self::Text(Pattern::parse(text, Syntax { wildcards: true, variables })?)
            }
            Test::NumericEquals
            | Test::NumericLessThan
            | Test::NumericLessThanEquals
            | Test::NumericGreaterThan
            | Test::NumericGreaterThanEquals => Self::Number(number(text)?),
            Test::DateEquals
            | Test::DateLessThan
            | Test::DateLessThanEquals
            | Test::DateGreaterThan
            | Test::DateGreaterThanEquals => Self::Date(date::parse(text)?),
            Test::Bool | Test::Null => Self::Bool(boolean(text)?),
            Test::BinaryEquals => Self::Binary(STANDARD.decode(text).ok()?.into()),
            Test::IpAddress => Self::Addresses(addresses(text)?),
            Test::ArnEquals | Test::ArnLike => {
                Self::Arn(ArnPattern::parse(text, variables, false)?)
            }
        })
    }

    fn fits(&self, test: Test, text: &str, context: &Context<'_>) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(text, context),
            Self::FoldedText(pattern) => pattern.equals_ignoring_case(text, context),
            Self::Number(limit) => number(text).is_some_and(|given| compare(test, &given, limit)),
            Self::Date(limit) => {
                date::parse(text).is_some_and(|given| compare(test, &given, limit))
            }
            Self::Bool(wanted) => boolean(text) == Some(*wanted),
            Self::Binary(wanted) => STANDARD.decode(text).is_ok_and(|given| *given == **wanted),
            Self::Addresses(block) => {
                text.parse::<IpAddr>().is_ok_and(|address| block.contains(&address.to_canonical()))
            }
            Self::Arn(pattern) => pattern.matches(&Target::new(text), context),
        }
    }
}

fn compare<T: PartialOrd>(test: Test, given: &T, limit: &T) -> bool {
    match test {
        Test::NumericEquals | Test::DateEquals => given == limit,
        Test::NumericLessThan | Test::DateLessThan => given < limit,
        Test::NumericLessThanEquals | Test::DateLessThanEquals => given <= limit,
        Test::NumericGreaterThan | Test::DateGreaterThan => given > limit,
        Test::NumericGreaterThanEquals | Test::DateGreaterThanEquals => given >= limit,
        Test::StringEquals
        | Test::StringEqualsIgnoreCase
        | Test::StringLike
        | Test::Bool
        | Test::BinaryEquals
        | Test::IpAddress
        | Test::ArnEquals
        | Test::ArnLike
        | Test::Null => false,
    }
}

/// A decimal number; Rust's `inf` and `nan` are none.
fn number(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if plain { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

fn boolean(text: &str) -> Option<bool> {
    [true, false].into_iter().find(|value| text.eq_ignore_ascii_case(&value.to_string()))
}

/// A block or a single address. Bits after the prefix are ignored.
pub(crate) fn addresses(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(block) => Some(block.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}
