//! The regular expressions of query services' models, each with the function of `shapes::limits`
//! that decides as it would.

/// Expression, function, and what IAM says instead of quoting it.
const PATTERNS: &[(&str, &str, Option<&str>)] = &[
    (r"[\w+=,.@-]+", "name", Some(NAME)),
    (r"[\w+=,.@-]*", "name_or_none", None),
    (r"[\w+=,.@:-]*", "name_colon", None),
    (r"[\w+=,.@\:-]*", "name_colon", None),
    (r"[\w+=/:,.@-]+", "serial", None),
    (r"[\w+=/:,.@-]*", "serial_or_none", None),
    (r"[\w+=,.@:\/-]*", "serial_or_none", None),
    (r"[\w]+", "words", None),
    (r"[\w]*", "words_or_none", None),
    (r"[\w-]*", "hyphened_or_none", None),
    (r"[\w._-]+", "dotted", None),
    (r"[:\w]+", "coloned", None),
    (r"[\d]+", "digits", None),
    (r"[\d]*", "digits_or_none", None),
    (r"\d{12}", "account", None),
    (r"^o-[a-z0-9]{10,32}$", "organization", None),
    (r"[A-Z0-9]+", "capitals", None),
    (r"[ -~]+", "printable", None),
    (r"[\u0020-\u00FF]+", "latin", None),
    (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "latin_lines", None),
    (r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*", "description", None),
    (
        r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
        "text",
        None,
    ),
    (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", "tag", None),
    (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "tag_or_none", None),
    (r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", "path", Some(PATH)),
    (r"((/[A-Za-z0-9\.,\+@=_-]+)*)/", "policy_path", Some(PATH)),
    (r"\u002F[\u0021-\u007F]*", "path_prefix", None),
    (r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?", "version", None),
    (r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "alias", None),
    (r"^[a-zA-Z0-9:/+=,.@_-]+$", "owner", None),
];

const NAME: &str = "It must contain only alphanumeric characters and/or the following: +=,.@_-";
const PATH: &str = "It must begin and end with / and contain only alphanumeric characters and/or / \
                    characters.";

/// An expression for a pattern; none if it is in no model that was known here.
pub fn expression(text: &str) -> Option<String> {
    let (_, function, says) = PATTERNS.iter().find(|(known, ..)| *known == text)?;
    Some(format!("Some(Pattern {{ text: {text:?}, fits: limits::{function}, says: {says:?} }})"))
}
