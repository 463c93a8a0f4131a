//! The names of condition operators.

use std::fmt;

/// What a condition operator compares, without its negation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Test {
    /// Exact text.
    StringEquals,
    /// Text without regard to case.
    StringEqualsIgnoreCase,
    /// Text with `*` and `?`.
    StringLike,
    /// Numbers.
    NumericEquals,
    /// The request's number is less.
    NumericLessThan,
    /// The request's number is not greater.
    NumericLessThanEquals,
    /// The request's number is greater.
    NumericGreaterThan,
    /// The request's number is not less.
    NumericGreaterThanEquals,
    /// Points in time.
    DateEquals,
    /// The request's time is earlier.
    DateLessThan,
    /// The request's time is not later.
    DateLessThanEquals,
    /// The request's time is later.
    DateGreaterThan,
    /// The request's time is not earlier.
    DateGreaterThanEquals,
    /// `true` or `false`.
    Bool,
    /// Bytes, in base64.
    BinaryEquals,
    /// An address in a block of addresses, of IPv4 or IPv6.
    IpAddress,
    /// ARNs, segment by segment, with `*` and `?`; the same as `ArnLike`, as documented.
    ArnEquals,
    /// ARNs, segment by segment, with `*` and `?`.
    ArnLike,
    /// Whether the key is absent.
    Null,
}

/// How an operator treats a key of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantifier {
    /// Every value of the request passes; true where there is none.
    ForAllValues,
    /// Some value of the request passes; false where there is none.
    ForAnyValue,
}

/// A condition operator, such as `ForAnyValue:StringNotLikeIfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Operator {
    /// The part before the colon.
    pub quantifier: Option<Quantifier>,
    /// What is compared.
    pub test: Test,
    /// Whether the operator is a `Not…`.
    pub negated: bool,
    /// Whether an absent key passes.
    pub if_exists: bool,
}

const NAMES: &[(&str, Test, bool)] = &[
    ("StringEquals", Test::StringEquals, false),
    ("StringNotEquals", Test::StringEquals, true),
    ("StringEqualsIgnoreCase", Test::StringEqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Test::StringEqualsIgnoreCase, true),
    ("StringLike", Test::StringLike, false),
    ("StringNotLike", Test::StringLike, true),
    ("NumericEquals", Test::NumericEquals, false),
    ("NumericNotEquals", Test::NumericEquals, true),
    ("NumericLessThan", Test::NumericLessThan, false),
    ("NumericLessThanEquals", Test::NumericLessThanEquals, false),
    ("NumericGreaterThan", Test::NumericGreaterThan, false),
    ("NumericGreaterThanEquals", Test::NumericGreaterThanEquals, false),
    ("DateEquals", Test::DateEquals, false),
    ("DateNotEquals", Test::DateEquals, true),
    ("DateLessThan", Test::DateLessThan, false),
    ("DateLessThanEquals", Test::DateLessThanEquals, false),
    ("DateGreaterThan", Test::DateGreaterThan, false),
    ("DateGreaterThanEquals", Test::DateGreaterThanEquals, false),
    ("Bool", Test::Bool, false),
    ("BinaryEquals", Test::BinaryEquals, false),
    ("IpAddress", Test::IpAddress, false),
    ("NotIpAddress", Test::IpAddress, true),
    ("ArnEquals", Test::ArnEquals, false),
    ("ArnNotEquals", Test::ArnEquals, true),
    ("ArnLike", Test::ArnLike, false),
    ("ArnNotLike", Test::ArnLike, true),
    ("Null", Test::Null, false),
];

impl Operator {
    /// The operator of this name; none where there is none. `Null` has no `IfExists`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Quantifier::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::ForAnyValue), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (_, test, negated) = *NAMES.iter().find(|entry| entry.0 == base)?;
        if test == Test::Null && (if_exists || quantifier.is_some()) {
            return None;
        }
        Some(Self { quantifier, test, negated, if_exists })
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quantifier {
            Some(Quantifier::ForAllValues) => f.write_str("ForAllValues:")?,
            Some(Quantifier::ForAnyValue) => f.write_str("ForAnyValue:")?,
            None => {}
        }
        let name = NAMES.iter().find(|entry| entry.1 == self.test && entry.2 == self.negated);
        f.write_str(name.map_or("", |entry| entry.0))?;
        f.write_str(if self.if_exists { "IfExists" } else { "" })
    }
}
