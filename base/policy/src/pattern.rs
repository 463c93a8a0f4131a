//! Text with `*`, `?` and policy variables, matched without allocation and without recursion.

use crate::context::Context;

/// What a piece of text may contain besides itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    pub(crate) wildcards: bool,
    pub(crate) variables: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    /// `*`.
    Any,
    /// `?`: one character.
    One,
    Variable(Variable),
}

/// `${key}` or `${key, 'default'}`.
#[derive(Debug, PartialEq, Eq)]
struct Variable {
    /// In lower case.
    key: Box<str>,
    default: Option<Box<str>>,
}

/// A parsed pattern. It matches in at most (length of the pattern × length of the text) steps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Box<[Piece]>,
    variables: bool,
}

impl Pattern {
    /// A pattern with wildcards and no variables.
    pub(crate) fn wild(text: &str) -> Self {
        let syntax = Syntax { wildcards: true, variables: false };
        Self::parse(text, syntax).unwrap_or(Self { pieces: Box::default(), variables: false })
    }

    /// None where a variable is begun and not written as one.
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let (inside, after) = rest[2..].split_once('}')?;
                rest = after;
                if let "*" | "?" | "$" = inside {
                    literal.push_str(inside);
                } else {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::Variable(Variable::parse(inside)?));
                }
                continue;
            }
            rest = &rest[next.len_utf8()..];
            match next {
                '*' if syntax.wildcards => {
                    flush(&mut literal, &mut pieces);
                    if pieces.last() != Some(&Piece::Any) {
                        pieces.push(Piece::Any);
                    }
                }
                '?' if syntax.wildcards => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::One);
                }
                other => literal.push(other),
            }
        }
        flush(&mut literal, &mut pieces);
        let variables = pieces.iter().any(|piece| matches!(piece, Piece::Variable(_)));
        Some(Self { pieces: pieces.into(), variables })
    }

    /// Whether the whole text fits. A pattern with a variable that has no value fits nothing.
    pub(crate) fn matches(&self, text: &str, context: &Context<'_>) -> bool {
        match &*self.pieces {
            [] => return text.is_empty(),
            [Piece::Any] => return true,
            [Piece::Literal(literal)] => return **literal == *text,
            [Piece::Literal(prefix), Piece::Any] => return text.starts_with(&**prefix),
            _ => {}
        }
        self.resolvable(context)
            && self.search(text, context, |rest: &str, literal: &str| rest.starts_with(literal))
    }

    /// The same for patterns without variables, without regard to the case of ASCII letters.
    pub(crate) fn matches_folded(&self, text: &str) -> bool {
        self.search(text, &Context::new(), |rest: &str, literal: &str| {
            let start = rest.as_bytes().get(..literal.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(literal.as_bytes()))
        })
    }

    /// The same for patterns without wildcards, without regard to the case of letters.
    pub(crate) fn equals_ignoring_case(&self, text: &str, context: &Context<'_>) -> bool {
        self.resolvable(context)
            && self
                .pieces
                .iter()
                .flat_map(|piece| piece.shown(context).chars())
                .flat_map(char::to_lowercase)
                .eq(text.chars().flat_map(char::to_lowercase))
    }

    fn resolvable(&self, context: &Context<'_>) -> bool {
        !self.variables
            || self.pieces.iter().all(|piece| match piece {
                Piece::Variable(variable) => variable.resolve(context).is_some(),
                Piece::Literal(_) | Piece::Any | Piece::One => true,
            })
    }

    /// Goes on from the last `*` whenever the text departs from the pattern: what stands before that
    /// `*` has been matched as early as it can be, so no other choice there can do better.
    fn search(
        &self,
        text: &str,
        context: &Context<'_>,
        begins: impl Fn(&str, &str) -> bool,
    ) -> bool {
        let (mut piece, mut at) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let rest = &text[at..];
            let step = match self.pieces.get(piece) {
                None if rest.is_empty() => return true,
                None => None,
                Some(Piece::Any) => {
                    piece += 1;
                    if piece == self.pieces.len() {
                        return true;
                    }
                    retry = Some((piece, at));
                    continue;
                }
                Some(Piece::One) => rest.chars().next().map(char::len_utf8),
                Some(Piece::Literal(literal)) => begins(rest, literal).then_some(literal.len()),
                Some(Piece::Variable(variable)) => {
                    variable.resolve(context).filter(|value| begins(rest, value)).map(str::len)
                }
            };
            match (step, retry) {
                (Some(length), _) => {
                    at += length;
                    piece += 1;
                }
                (None, None) => return false,
                (None, Some((after, from))) => {
                    let Some(skipped) = text[from..].chars().next() else { return false };
                    at = from + skipped.len_utf8();
                    piece = after;
                    retry = Some((after, at));
                }
            }
        }
    }

    /// Whether the text fits, or could with some value of the pattern's variables.
    pub(crate) fn may_be(&self, text: &str) -> bool {
        self.variables || self.matches(text, &Context::new())
    }

    /// Whether some text could fit both the pattern and `fixed`, a prefix: used where only the
    /// beginning of what will be matched is known.
    pub(crate) fn may_begin_with(&self, fixed: &str) -> bool {
        let mut rest = fixed;
        for piece in &self.pieces {
            match piece {
                Piece::Any | Piece::Variable(_) => return true,
                Piece::One => match rest.chars().next() {
                    Some(skipped) => rest = &rest[skipped.len_utf8()..],
                    None => return true,
                },
                Piece::Literal(literal) => match rest.strip_prefix(&**literal) {
                    Some(after) => rest = after,
                    None => return literal.starts_with(rest),
                },
            }
        }
        rest.is_empty()
    }
}

impl Piece {
    fn shown<'a>(&'a self, context: &'a Context<'_>) -> &'a str {
        match self {
            Self::Literal(literal) => literal,
            Self::Variable(variable) => variable.resolve(context).unwrap_or_default(),
            Self::Any => "*",
            Self::One => "?",
        }
    }
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

impl Variable {
    fn parse(inside: &str) -> Option<Self> {
        let (key, default) = match inside.split_once(',') {
            None => (inside.trim(), None),
            Some((key, default)) => {
                let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
                (key.trim(), Some(default.into()))
            }
        };
        let valid = !key.is_empty() && !key.contains(['$', '{', '*', '?', '\'', ' ']);
        valid.then(|| Self { key: key.to_ascii_lowercase().into(), default })
    }

    fn resolve<'a>(&'a self, context: &'a Context<'_>) -> Option<&'a str> {
        context.single(&self.key).or(self.default.as_deref())
    }
}
