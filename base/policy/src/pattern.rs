//! Text with `*`, `?` and policy variables, matched without recursion.

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
    key: Box<str>,
    default: Option<Box<str>>,
}

/// A parsed pattern.
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
            [Piece::Literal(prefix), ..] if !text.starts_with(&**prefix) => return false,
            _ => {}
        }
        let begins = |rest: &str, literal: &str| rest.starts_with(literal);
        if !self.variables {
            return search(text, |at| self.pieces.get(at).map(Piece::fixed), begins);
        }
        // Each variable is looked up once, and what is empty is left out: so each piece that is
        // passed over takes some of the text.
        let known: Option<Vec<_>> =
            self.pieces.iter().map(|piece| piece.resolved(context)).collect();
        let Some(mut known) = known else { return false };
        known.retain(|piece| !matches!(piece, Known::Text("")));
        search(text, |at| known.get(at).copied(), begins)
    }

    /// The same for patterns without variables, without regard to the case of ASCII letters.
    pub(crate) fn matches_folded(&self, text: &str) -> bool {
        let begins = |rest: &str, literal: &str| {
            let start = rest.as_bytes().get(..literal.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(literal.as_bytes()))
        };
        search(text, |at| self.pieces.get(at).map(Piece::fixed), begins)
    }

    /// The same for patterns without wildcards, without regard to the case of letters.
    pub(crate) fn equals_ignoring_case(&self, text: &str, context: &Context<'_>) -> bool {
        let known: Option<Vec<_>> =
            self.pieces.iter().map(|piece| piece.resolved(context)).collect();
        let Some(known) = known else { return false };
        let shown = known.into_iter().flat_map(|piece| match piece {
            Known::Text(text) => text.chars(),
            Known::Any => "*".chars(),
            Known::One => "?".chars(),
        });
        shown.flat_map(char::to_lowercase).eq(text.chars().flat_map(char::to_lowercase))
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

/// A piece whose text is known.
#[derive(Debug, Clone, Copy)]
enum Known<'a> {
    Text(&'a str),
    Any,
    One,
}

impl Piece {
    /// The piece with its variable's value; none where that has none.
    fn resolved<'a>(&'a self, context: &'a Context<'_>) -> Option<Known<'a>> {
        match self {
            Self::Variable(variable) => {
                let value = context.single(&variable.key).or(variable.default.as_deref());
                value.map(Known::Text)
            }
            Self::Literal(_) | Self::Any | Self::One => Some(self.fixed()),
        }
    }

    /// The piece of a pattern without variables.
    fn fixed(&self) -> Known<'_> {
        match self {
            Self::Literal(literal) => Known::Text(literal),
            Self::Variable(_) => Known::Text(""),
            Self::Any => Known::Any,
            Self::One => Known::One,
        }
    }
}

/// Goes on from the last `*` whenever the text departs from the pattern: what stands before that
/// `*` has been matched as early as it can be, so no other choice there can do better. As each piece
/// takes some of the text, it ends within (pieces + the square of the text's length) steps.
fn search<'p>(
    text: &str,
    piece_at: impl Fn(usize) -> Option<Known<'p>>,
    begins: impl Fn(&str, &str) -> bool,
) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = &text[at..];
        let taken = match piece_at(piece) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Known::Any) => {
                piece += 1;
                retry = Some((piece, at));
                if piece_at(piece).is_none() {
                    return true;
                }
                continue;
            }
            Some(Known::One) => rest.chars().next().map(char::len_utf8),
            Some(Known::Text(literal)) => begins(rest, literal).then_some(literal.len()),
        };
        match (taken, retry) {
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
                (key.trim(), Some(default.replace("''", "'").into()))
            }
        };
        let valid = !key.is_empty() && !key.contains(['$', '{', '*', '?', '\'', ' ']);
        valid.then(|| Self { key: key.into(), default })
    }
}
