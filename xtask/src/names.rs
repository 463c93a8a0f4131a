//! Rust's names for the model's.

use std::collections::BTreeSet;

/// Units and acronyms whose capitals would otherwise be torn apart.
const WORDS: &[(&str, &str)] = &[
    ("IPv", "Ipv"),
    ("KiB", "Kib"),
    ("MiB", "Mib"),
    ("GiB", "Gib"),
    ("TiB", "Tib"),
    ("MBps", "Mbps"),
    ("GBps", "Gbps"),
    ("VCpu", "Vcpu"),
];

/// Rust's keywords that could be the name of a member.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];

/// `InstanceId` → `instance_id`, not yet safe from keywords.
pub fn words(name: &str) -> String {
    let mut name = name.to_owned();
    for (from, to) in WORDS {
        name = name.replace(from, to);
    }
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| letters.get(at));
        let after_small = before.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let ends_capitals = before.is_some_and(char::is_ascii_uppercase)
            && letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_small || ends_capitals) {
            words.push('_');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// A field's name: `Type` → `r#type`.
pub fn field(name: &str) -> String {
    let words = words(name);
    if KEYWORDS.contains(&words.as_str()) { format!("r#{words}") } else { words }
}

/// A static's name: `InstanceList` → `INSTANCE_LIST`.
pub fn constant(name: &str) -> String {
    words(name).to_ascii_uppercase()
}

/// The variants' names of an enumeration, one for each value.
pub fn variants(values: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    values
        .iter()
        .map(|value| {
            let mut name = variant(value);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            name
        })
        .collect()
}

/// `x86_64` → `X86_64`, `shutting-down` → `ShuttingDown`, `INSUFFICIENT` → `Insufficient`.
fn variant(value: &str) -> String {
    let mut name = String::new();
    for word in value.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let between_digits = name.ends_with(|c: char| c.is_ascii_digit())
            && word.starts_with(|c: char| c.is_ascii_digit());
        if between_digits {
            name.push('_');
        }
        let shouted = !word.contains(|c: char| c.is_ascii_lowercase());
        let (first, rest) = word.split_at(1);
        name.push_str(&first.to_ascii_uppercase());
        name.push_str(&if shouted { rest.to_ascii_lowercase() } else { rest.to_owned() });
    }
    if name.is_empty() {
        return "Empty".to_owned();
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'V');
    }
    if name == "Self" { "Itself".to_owned() } else { name }
}

/// The name in requests of the ec2 protocol: the first letter is a capital.
pub fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_as_words() {
        for (name, expected) in [
            ("InstanceId", "instance_id"),
            ("EnableDnsAAAARecord", "enable_dns_aaaa_record"),
            ("SizeInMiB", "size_in_mib"),
            ("Ipv6CidrBlock", "ipv6_cidr_block"),
            ("VCpuInfo", "vcpu_info"),
            ("Type", "r#type"),
        ] {
            assert_eq!(field(name), expected);
        }
    }

    #[test]
    fn variants_are_distinct() {
        let values = ["x86_64", "shutting-down", "ACTIVE", "Active", "2.0", ""].map(str::to_owned);
        let expected = ["X86_64", "ShuttingDown", "Active", "Active_", "V2_0", "Empty"];
        assert_eq!(variants(&values), expected);
    }
}
