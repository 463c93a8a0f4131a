//! The evaluation logic once more, as its documentation tells it: over the documents' JSON, without
//! parsing, compiling or indexing anything. What a number, a date or a block of addresses means is read
//! from tables, so that nothing here shares a line with what it checks.

use super::{ACCOUNT, ALICE, Given, ROLE, SESSION, Scene, Who};
use serde_json::Value;

/// What comes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Allowed,
    Denied,
    NotAllowed,
}

/// Numbers that conditions and calls write, and what they are.
const NUMBERS: [(&str, i32); 6] =
    [("5", 5), ("10", 10), ("10.0", 10), ("1e1", 10), ("-3", -3), ("11", 11)];

/// Points in time that conditions and calls write, and their seconds since 1970.
const DATES: [(&str, i64); 6] = [
    ("2026-11-22T10:00:00Z", 1_795_341_600),
    ("2026-11-22T11:00:00+01:00", 1_795_341_600),
    ("1795341600", 1_795_341_600),
    ("2026-11-22", 1_795_305_600),
    ("2026-11-22T10:00:00.000Z", 1_795_341_600),
    ("2027", 1_798_761_600),
];

/// Blocks of addresses, and which of the callers' addresses are in them.
const BLOCKS: [(&str, &[&str]); 7] = [
    ("10.0.0.0/24", &["10.0.0.5"]),
    ("10.0.0.0/8", &["10.0.0.5", "10.0.1.5"]),
    ("10.0.1.7/24", &["10.0.1.5"]),
    ("192.0.2.1", &["192.0.2.1"]),
    ("0.0.0.0/0", &["10.0.0.5", "10.0.1.5", "192.0.2.1"]),
    ("2001:db8::/32", &["2001:db8::1"]),
    ("::/0", &["2001:db8::1"]),
];

/// How a statement of a resource's policy names the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// As itself: nothing else has to allow.
    Itself,
    /// As a role or as everyone: within boundary and session policy.
    Within,
    /// By its account, which has to let it.
    ByAccount,
}

/// Decides about the call of a scene.
pub fn outcome(scene: &Scene) -> Outcome {
    let boundary: Vec<_> = scene.boundary.iter().flatten().collect();
    let session: Vec<_> = scene.session.iter().flatten().collect();
    let bucket: Vec<_> = scene.bucket.iter().flatten().collect();
    let identity: Vec<_> = scene.identity.iter().flatten().collect();
    let says = |list: &[&Value], effect: &str| {
        list.iter().any(|one| one["Effect"] == effect && speaks(one, scene))
    };
    let names: Vec<(&Value, Named)> = bucket
        .into_iter()
        .filter(|one| speaks(one, scene))
        .flat_map(|one| named(one, scene.who).into_iter().map(move |how| (one, how)))
        .collect();
    if says(&identity, "Deny")
        || says(&boundary, "Deny")
        || says(&session, "Deny")
        || names.iter().any(|(one, _)| one["Effect"] == "Deny")
    {
        return Outcome::Denied;
    }
    let granted = |how: Named| names.iter().any(|(one, by)| one["Effect"] == "Allow" && *by == how);
    let by_resource = [Named::Itself, Named::Within, Named::ByAccount].into_iter().any(granted);
    if matches!(scene.who, Who::Anonymous | Who::Provider | Who::Service) {
        return if by_resource { Outcome::Allowed } else { Outcome::NotAllowed };
    }
    let own = scene.who == Who::Root || says(&identity, "Allow");
    let limits = (scene.boundary.is_none() || says(&boundary, "Allow"))
        && (scene.session.is_none() || says(&session, "Allow"));
    let allowed = if scene.foreign {
        by_resource && own && limits
    } else if scene.must && !by_resource {
        false
    } else {
        granted(Named::Itself) || (granted(Named::Within) && limits) || (own && limits)
    };
    if allowed { Outcome::Allowed } else { Outcome::NotAllowed }
}

/// Whether a statement is about the call, whoever makes it.
fn speaks(statement: &Value, scene: &Scene) -> bool {
    let action = scene.action.to_lowercase();
    let is_action = |pattern: &str| glob(&plain(&pattern.to_lowercase()), &action);
    let is_resource = |pattern: &str| pattern == "*" || arn(pattern, scene.resource, scene);
    let among = |name: &str, fits: &dyn Fn(&str) -> bool| match statement.get(name) {
        Some(list) => texts(list).iter().any(|one| fits(one)),
        None => !texts(&statement[format!("Not{name}")]).iter().any(|one| fits(one)),
    };
    among("Action", &is_action) && among("Resource", &is_resource) && conditions(statement, scene)
}

fn texts(value: &Value) -> Vec<&str> {
    match value.as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => value.as_str().into_iter().collect(),
    }
}

/// All the ways in which a statement names the caller.
fn named(statement: &Value, who: Who) -> Vec<Named> {
    let principals = |value: &Value| -> Vec<(String, String)> {
        let Some(kinds) = value.as_object() else { return vec![("AWS".into(), "*".into())] };
        let pairs = |(kind, list): (&String, _)| {
            texts(list).into_iter().map(|one| (kind.clone(), one.to_owned())).collect::<Vec<_>>()
        };
        kinds.iter().flat_map(pairs).collect()
    };
    if let Some(list) = statement.get("NotPrincipal") {
        let listed = principals(list);
        let lists = |name: &str| listed.iter().any(|(_, one)| one == name);
        let account = lists(ACCOUNT) || lists(&format!("arn:aws:iam::{ACCOUNT}:root"));
        let left_out = lists("*")
            || match who {
                Who::Anonymous => false,
                Who::Root => account,
                Who::User => account && lists(ALICE),
                Who::Role => account && lists(ROLE) && lists(SESSION),
                Who::FederatedUser => account && lists(SESSION),
                Who::Provider => lists("accounts.google.com"),
                Who::Service => lists("ec2.amazonaws.com"),
            };
        return if left_out { Vec::new() } else { vec![Named::Within] };
    }
    principals(&statement["Principal"])
        .iter()
        .filter_map(|(kind, one)| match (kind.as_str(), one.as_str(), who) {
            ("AWS", "*", _) => Some(Named::Within),
            ("AWS", ALICE, Who::User) => Some(Named::Itself),
            ("AWS", ALICE, Who::FederatedUser) | ("AWS", ROLE, Who::Role) => Some(Named::Within),
            ("AWS", SESSION, Who::Role | Who::FederatedUser) => Some(Named::Itself),
            ("Federated", "accounts.google.com", Who::Provider)
            | ("Service", "ec2.amazonaws.com", Who::Service) => Some(Named::Itself),
            ("AWS", one, Who::Root | Who::User | Who::Role | Who::FederatedUser)
                if one.contains(ACCOUNT) && (one.len() == 12 || one.ends_with(":root")) =>
            {
                Some(if who == Who::Root { Named::Itself } else { Named::ByAccount })
            }
            _ => None,
        })
        .collect()
}

fn conditions(statement: &Value, scene: &Scene) -> bool {
    let blocks = statement.get("Condition").and_then(Value::as_object);
    blocks.into_iter().flatten().all(|(operator, keys)| {
        let keys = keys.as_object().expect("keys");
        keys.iter().all(|(key, values)| holds(operator, key, &texts(values), scene))
    })
}

fn holds(operator: &str, key: &str, values: &[&str], scene: &Scene) -> bool {
    let found = scene.context.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
    let given: Vec<&str> = match found {
        None => Vec::new(),
        Some((_, Given::One(one))) => vec![one],
        Some((_, Given::Many(many))) => many.clone(),
    };
    let (quantifier, name) = match operator.split_once(':') {
        Some((quantifier, name)) => (quantifier, name),
        None => ("", operator),
    };
    if name == "Null" {
        return values.iter().any(|one| (*one == "true") == given.is_empty());
    }
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    if given.is_empty() {
        return if_exists
            || quantifier == "ForAllValues"
            || (quantifier.is_empty() && name.contains("Not"));
    }
    let fits = |one: &str, name: &str| values.iter().any(|value| compare(name, one, value, scene));
    let positive = name.replacen("Not", "", 1);
    match (quantifier, name.contains("Not")) {
        ("ForAllValues", false) => given.iter().all(|one| fits(one, name)),
        ("ForAllValues", true) => given.iter().all(|one| !fits(one, &positive)),
        ("ForAnyValue", true) => given.iter().any(|one| !fits(one, &positive)),
        (_, false) => given.iter().any(|one| fits(one, name)),
        (_, true) => !given.iter().any(|one| fits(one, &positive)),
    }
}

fn compare(name: &str, given: &str, value: &str, scene: &Scene) -> bool {
    let number = |text: &str| NUMBERS.iter().find(|one| one.0 == text).map(|one| i64::from(one.1));
    let date = |text: &str| DATES.iter().find(|one| one.0 == text).map(|one| one.1);
    let ordered = |given: Option<i64>, value: Option<i64>, how: &str| match (given, value) {
        (Some(given), Some(value)) => match how {
            "Equals" => given == value,
            "LessThan" => given < value,
            "LessThanEquals" => given <= value,
            "GreaterThan" => given > value,
            _ => given >= value,
        },
        _ => false,
    };
    if let Some(how) = name.strip_prefix("Numeric") {
        return ordered(number(given), number(value), how);
    }
    if let Some(how) = name.strip_prefix("Date") {
        return ordered(date(given), date(value), how);
    }
    match name {
        "StringEquals" => text(value, scene).is_some_and(|value| value == given),
        "StringEqualsIgnoreCase" => {
            text(value, scene).is_some_and(|value| value.to_lowercase() == given.to_lowercase())
        }
        "StringLike" => tokens(value, scene).is_some_and(|pattern| glob(&pattern, given)),
        "Bool" | "BinaryEquals" => {
            given.eq_ignore_ascii_case(value) && (name == "Bool" || given == value)
        }
        "IpAddress" => {
            BLOCKS.iter().any(|(block, within)| *block == value && within.contains(&given))
        }
        _ => value == "*" || arn(value, given, scene),
    }
}

/// ARNs piece by piece; the sixth is what remains.
fn arn(pattern: &str, text: &str, scene: &Scene) -> bool {
    let wanted: Vec<_> = pattern.splitn(6, ':').collect();
    let given: Vec<_> = text.splitn(6, ':').collect();
    if given.len() < 6 {
        return false;
    }
    if wanted.len() < 6 {
        let (last, first) = wanted.split_last().expect("one piece");
        let rest = given[first.len()..].join(":");
        return first.iter().zip(&given).all(|(one, other)| glob(&plain(one), other))
            && glob(&plain(last), &rest);
    }
    let (sixth, first) = wanted.split_last().expect("six pieces");
    first.iter().zip(&given).all(|(one, other)| glob(&plain(one), other))
        && tokens(sixth, scene).is_some_and(|pattern| glob(&pattern, given[5]))
}

/// A piece of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Is(char),
    Any,
    One,
}

/// A pattern without variables.
fn plain(pattern: &str) -> Vec<Token> {
    let token = |one| match one {
        '*' => Token::Any,
        '?' => Token::One,
        one => Token::Is(one),
    };
    pattern.chars().map(token).collect()
}

/// A pattern with its variables' values, which are text; none where one has no value.
fn tokens(pattern: &str, scene: &Scene) -> Option<Vec<Token>> {
    let Some((before, rest)) = pattern.split_once("${") else { return Some(plain(pattern)) };
    let (inside, after) = rest.split_once('}').expect("the end of a variable");
    let value = match inside {
        "*" | "?" | "$" => inside,
        _ => {
            let (key, default) = match inside.split_once(',') {
                Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
                None => (inside, None),
            };
            let found = scene.context.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key));
            match found {
                Some((_, Given::One(one))) => one,
                _ => default?,
            }
        }
    };
    let mut all = plain(before);
    all.extend(value.chars().map(Token::Is));
    all.extend(tokens(after, scene)?);
    Some(all)
}

/// A text with its variables' values.
fn text(value: &str, scene: &Scene) -> Option<String> {
    let escaped = tokens(value, scene)?;
    let char_of = |token: Token| match token {
        Token::Is(one) => one,
        Token::Any => '*',
        Token::One => '?',
    };
    Some(escaped.into_iter().map(char_of).collect())
}

/// All places of the pattern at once, character by character.
fn glob(pattern: &[Token], text: &str) -> bool {
    let skip = |mut places: Vec<bool>| {
        for at in 0..pattern.len() {
            places[at + 1] |= places[at] && pattern[at] == Token::Any;
        }
        places
    };
    let mut places = vec![false; pattern.len() + 1];
    places[0] = true;
    places = skip(places);
    for one in text.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            match pattern[at] {
                Token::Any => next[at] |= places[at],
                Token::One => next[at + 1] |= places[at],
                Token::Is(other) => next[at + 1] |= places[at] && one == other,
            }
        }
        places = skip(next);
    }
    places[pattern.len()]
}
