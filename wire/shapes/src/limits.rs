//! What the model says of a value beyond its kind: how long it may be, and what it may hold.

/// The limits of a value, as the model states them.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The least length of a text (in characters) or a list, or the least number.
    pub min: Option<i64>,
    /// The greatest.
    pub max: Option<i64>,
    /// What a text must look like.
    pub pattern: Option<Pattern>,
    /// Whether errors must not repeat the value.
    pub sensitive: bool,
}

/// A regular expression of the model, with the function that decides as it would.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// The expression, which messages quote.
    pub text: &'static str,
    /// Whether the whole of a text fits.
    pub fits: fn(&str) -> bool,
    /// What IAM says instead of quoting the expression, after "The specified value for … is
    /// invalid. ".
    pub says: Option<&'static str>,
}

/// Functions for a class of characters, one or more of them (or, with `*`, none).
macro_rules! classes {
    ($($(#[$doc:meta])* $name:ident $or_none:ident: $class:expr;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(text: &str) -> bool {
            let class: fn(char) -> bool = $class;
            ($or_none || !text.is_empty()) && text.chars().all(class)
        }
    )*};
}

const SOME: bool = false;
const ANY: bool = true;

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_white(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

/// Letters, separators and numbers of any script, and the signs of tags.
fn of_tag(c: char) -> bool {
    // Java's \p{L} has no combining marks that are alphabetic; those are taken here.
    let separator = matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    );
    c.is_alphanumeric() || separator || "_.:/=+-@".contains(c)
}

classes! {
    /// `[\w+=,.@-]+`
    name SOME: |c| word(c) || "+=,.@-".contains(c);
    /// `[\w+=,.@-]*`
    name_or_none ANY: |c| word(c) || "+=,.@-".contains(c);
    /// `[\w+=,.@:-]*`
    name_colon ANY: |c| word(c) || "+=,.@:-".contains(c);
    /// `[\w+=/:,.@-]+`
    serial SOME: |c| word(c) || "+=/:,.@-".contains(c);
    /// `[\w+=/:,.@-]*`
    serial_or_none ANY: |c| word(c) || "+=/:,.@-".contains(c);
    /// `[\w]+`
    words SOME: word;
    /// `[\w]*`
    words_or_none ANY: word;
    /// `[\w-]*`
    hyphened_or_none ANY: |c| word(c) || c == '-';
    /// `[\w._-]+`
    dotted SOME: |c| word(c) || c == '.' || c == '-';
    /// `[:\w]+`
    coloned SOME: |c| word(c) || c == ':';
    /// `[\d]+`
    digits SOME: |c| c.is_ascii_digit();
    /// `[\d]*`
    digits_or_none ANY: |c| c.is_ascii_digit();
    /// `[A-Z0-9]+`
    capitals SOME: |c| c.is_ascii_uppercase() || c.is_ascii_digit();
    /// `[\u0020-\u00FF]+`
    latin SOME: |c| (' '..='\u{ff}').contains(&c);
    /// `[\u0009\u000A\u000D\u0020-\u00FF]+`
    latin_lines SOME: |c| is_white(c) || (' '..='\u{ff}').contains(&c);
    /// `[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*`
    description ANY: |c| is_white(c) || (' '..='~').contains(&c) || ('\u{a1}'..='\u{ff}').contains(&c);
    /// `[ -~]+`
    printable SOME: |c| (' '..='~').contains(&c);
    /// `^[a-zA-Z0-9:/+=,.@_-]+$`
    owner SOME: |c| word(c) || ":/+=,.@-".contains(c);
    /// `[\p{L}\p{Z}\p{N}_.:/=+\-@]+`
    tag SOME: of_tag;
    /// `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`
    tag_or_none ANY: of_tag;
    /// Text that XML can hold.
    text SOME: |c| is_white(c) || c == '\u{85}' || (' '..='~').contains(&c) || c >= '\u{a0}';
}

/// `^o-[a-z0-9]{10,32}$`
#[must_use]
pub fn organization(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("o-") else { return false };
    let class = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (10..=32).contains(&rest.len()) && rest.chars().all(class)
}

/// `\d{12}`
#[must_use]
pub fn account(text: &str) -> bool {
    text.len() == 12 && digits(text)
}

/// `(\u002F)|(\u002F[\u0021-\u007E]+\u002F)`
#[must_use]
pub fn path(text: &str) -> bool {
    let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    text == "/"
        || inner.is_some_and(|inner| {
            !inner.is_empty() && inner.chars().all(|c| ('!'..='~').contains(&c))
        })
}

/// `\u002F[\u0021-\u007F]*`
#[must_use]
pub fn path_prefix(text: &str) -> bool {
    let rest = text.strip_prefix('/');
    rest.is_some_and(|rest| rest.chars().all(|c| ('!'..='\u{7f}').contains(&c)))
}

/// `((/[A-Za-z0-9\.,\+@=_-]+)*)/`
#[must_use]
pub fn policy_path(text: &str) -> bool {
    let Some(inner) = text.strip_suffix('/') else { return false };
    let Some(inner) = inner.strip_prefix('/') else { return inner.is_empty() };
    inner
        .split('/')
        .all(|part| !part.is_empty() && part.chars().all(|c| word(c) || ".,+@=-".contains(c)))
}

/// `v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`
#[must_use]
pub fn version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else { return false };
    let (number, label) = rest.split_once('.').unwrap_or((rest, ""));
    digits(number)
        && !number.starts_with('0')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// `^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`
#[must_use]
pub fn alias(text: &str) -> bool {
    (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_decide_as_their_expressions() {
        assert!(name("a+b=c,d.e@f-g_h") && !name("") && !name("a b") && !name("é"));
        assert!(
            path("/") && path("/a/b/") && !path("/a") && !path("a/") && !path("") && !path("//")
        );
        assert!(
            policy_path("/") && policy_path("/a/b/") && !policy_path("//") && !policy_path("/a")
        );
        assert!(
            version("v1") && version("v20.a-1") && !version("v0") && !version("1") && !version("v")
        );
        assert!(alias("a-b") && !alias("ab") && !alias("a--b") && !alias("-ab") && !alias("A-b"));
        assert!(tag("Ключ 1:/=+-@") && !tag("a#b") && !tag("") && tag_or_none(""));
        assert!(account("123456789012") && !account("12345678901"));
    }
}
