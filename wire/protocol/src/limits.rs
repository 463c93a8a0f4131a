//! Whether decoded values keep the limits of the model, and what query services say if not.

use crate::aws_query::camel;
use shapes::{Kind, Limits, Pattern, Schema, Value};

/// How many violations a message lists.
const MAX_LISTED: usize = 10;
/// How much of a value a message repeats.
const MAX_ECHO_CHARS: usize = 256;

/// What is wrong with a value.
#[derive(Default)]
struct Violations {
    count: usize,
    listed: Vec<String>,
    /// What IAM says in words of its own, once nothing else is wrong.
    in_words: Option<String>,
}

/// The message about an input that breaks limits; none if it keeps all.
pub fn check(schema: &'static Schema, value: &Value) -> Option<String> {
    let mut violations = Violations::default();
    violations.visit(schema, value, "");
    if violations.count == 0 {
        return violations.in_words;
    }
    let errors = if violations.count == 1 { "error" } else { "errors" };
    let listed = violations.listed.join("; ");
    Some(format!("{} validation {errors} detected: {listed}", violations.count))
}

impl Violations {
    fn visit(&mut self, schema: &'static Schema, value: &Value, path: &str) {
        if let Some(limits) = &schema.limits {
            self.compare(limits, value, path);
        }
        match (schema.kind, value) {
            (Kind::Structure(members), Value::Structure(values)) => {
                for (index, value) in values {
                    let Some(member) = members.get(*index) else { continue };
                    let name = camel(member.name);
                    let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                    self.visit(member.schema, value, &path);
                }
            }
            (Kind::List { element, .. }, Value::List(values)) => {
                for (number, value) in (1..).zip(values) {
                    self.visit(element.schema, value, &format!("{path}.{number}.member"));
                }
            }
            // No input of a query service that states limits has a map; scalars have no parts.
            _ => {}
        }
    }

    fn compare(&mut self, limits: &Limits, value: &Value, path: &str) {
        let (amount, what, shown) = match value {
            Value::String(text) => (length(text.chars().count()), "length", clipped(text)),
            Value::List(values) => (length(values.len()), "length", "[...]".to_owned()),
            Value::Integer(number) => (i64::from(*number), "value", number.to_string()),
            Value::Boolean(_)
            | Value::Long(_)
            | Value::Float(_)
            | Value::Double(_)
            | Value::Blob(_)
            | Value::Timestamp(_)
            | Value::Map(_)
            | Value::Structure(_)
            | Value::Document(_) => return,
        };
        let shown = if limits.sensitive { "Value".to_owned() } else { format!("Value '{shown}'") };
        let mut add = |must: String| {
            self.count += 1;
            if self.listed.len() < MAX_LISTED {
                self.listed
                    .push(format!("{shown} at '{path}' failed to satisfy constraint: {must}"));
            }
        };
        if let Some(max) = limits.max.filter(|max| amount > *max) {
            add(format!("Member must have {what} less than or equal to {max}"));
        }
        if let Some(min) = limits.min.filter(|min| amount < *min) {
            add(format!("Member must have {what} greater than or equal to {min}"));
        }
        match (limits.pattern, value) {
            (Some(Pattern { text, fits, says }), Value::String(value)) if !fits(value) => {
                match says.filter(|_| !value.is_empty()) {
                    Some(says) => {
                        let message = format!("The specified value for {path} is invalid. {says}");
                        self.in_words.get_or_insert(message);
                    }
                    None => {
                        add(format!("Member must satisfy regular expression pattern: {text}"));
                    }
                }
            }
            _ => {}
        }
    }
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_ECHO_CHARS).collect()
}
