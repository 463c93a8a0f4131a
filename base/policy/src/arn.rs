//! ARNs and their patterns, compared segment by segment.

use crate::context::Context;
use crate::pattern::{Pattern, Syntax};

/// A text with its six segments, where it is an ARN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) text: &'a str,
    segments: Option<[&'a str; 6]>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut parts = text.splitn(6, ':');
        let mut segments = [""; 6];
        let mut whole = text.starts_with("arn:");
        for segment in &mut segments {
            match parts.next() {
                Some(part) => *segment = part,
                None => whole = false,
            }
        }
        Self { text, segments: whole.then_some(segments) }
    }
}

/// A pattern of ARNs. A wildcard stays within its segment, but for a `*` that ends a pattern of
/// fewer than six segments: that one stands for all the rest.
#[derive(Debug)]
pub(crate) enum ArnPattern {
    /// `*`.
    Everything,
    Segments {
        segments: Box<[Pattern]>,
        /// Fewer than six segments, of which the last ends with `*`.
        open: bool,
    },
}

impl ArnPattern {
    /// None where the text is neither `*` nor an ARN, or has a malformed variable. With
    /// `late_variables`, those before the sixth segment are text (AWS takes none there).
    pub(crate) fn parse(text: &str, variables: bool, late_variables: bool) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        let parts = split(text, variables);
        let open = parts.len() < 6;
        if parts.first() != Some(&"arn") || (open && !text.ends_with('*')) {
            return None;
        }
        let segments = parts.iter().enumerate().map(|(at, part)| {
            let variables = variables && (at == 5 || !late_variables);
            Pattern::parse(part, Syntax { wildcards: true, variables })
        });
        Some(Self::Segments { segments: segments.collect::<Option<_>>()?, open })
    }

    pub(crate) fn matches(&self, target: &Target<'_>, context: &Context<'_>) -> bool {
        let (patterns, open) = match self {
            Self::Everything => return true,
            Self::Segments { segments, open } => (segments, *open),
        };
        let Some(segments) = &target.segments else { return false };
        // From the end: resources differ more often than partitions and services do.
        if !open {
            return patterns
                .iter()
                .zip(segments)
                .rev()
                .all(|(pattern, segment)| pattern.matches(segment, context));
        }
        let Some((last, first)) = patterns.split_last() else { return false };
        let skipped: usize = segments[..first.len()].iter().map(|segment| segment.len() + 1).sum();
        last.matches(&target.text[skipped..], context)
            && first
                .iter()
                .zip(segments)
                .all(|(pattern, segment)| pattern.matches(segment, context))
    }
}

/// Up to six segments; a colon inside a variable divides nothing.
fn split(text: &str, variables: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut inside) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if variables && text[..at].ends_with('$') => inside = true,
            b'}' => inside = false,
            b':' if !inside && parts.len() < 5 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}
