//! `docs/coverage.md`: what is served of each service, by operation and parameter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::functions::{self, Function};
use crate::model::{Model, Reference};
use crate::names;
use crate::workspace;

const INTRODUCTION: &str = "\
# Coverage

Written by `cargo xtask generate`, from the model of AWS's services, the tables of operations and
the functions behind them; a test proves it fresh.

An operation of the model that is not served answers `UnsupportedOperation` and names itself. Its
tier says how soon people miss it: 1 is what everyday tools and Terraform modules call, 2 what many
call, 3 the rest.

Of each served operation's parameters,
- **used** have their effect,
- **without effect** are accepted and change nothing,
- **refused** answer `UnsupportedOperation` and are named in it, as soon as they ask for something
  that isn't there (a neutral value such as `false` is accepted). A dotted name, or one that says
  more, is a part of a parameter whose other parts are used.
";

const TIERS: [&str; 3] = ["1", "2", "3"];

/// A service with what of it is served.
pub struct Covered<'a> {
    /// Its name, also of its table of tiers in xtask/data.
    pub name: &'static str,
    /// The folder of the crate that serves it.
    pub owner: &'static str,
    pub model: &'a Model,
    /// The served operations, each with the path of its function.
    pub served: BTreeMap<String, String>,
}

/// The page.
pub fn page(services: &[Covered<'_>]) -> Result<String> {
    let mut summary =
        String::from("\n| service | served | tier 1 | tier 2 | tier 3 |\n|---|---|---|---|---|\n");
    let mut sections = String::new();
    for service in services {
        let tiers = tiers(service)?;
        let of = |tier: &str, name: &String| tiers.get(name).is_some_and(|other| other == tier);
        let share = |all: &mut dyn Iterator<Item = &String>| {
            let all: Vec<&String> = all.collect();
            let served = all.iter().filter(|name| service.served.contains_key(**name)).count();
            format!("{served} of {}", all.len())
        };
        let operations = &service.model.operations;
        let mut cells = vec![service.name.to_owned(), share(&mut operations.keys())];
        cells.extend(TIERS.map(|tier| share(&mut operations.keys().filter(|name| of(tier, name)))));
        let _ = writeln!(summary, "| {} |", cells.join(" | "));
        let missed = operations
            .keys()
            .filter(|name| of(TIERS[0], name) && !service.served.contains_key(*name));
        sections.push_str(&section(service, &tiers, missed)?);
    }
    Ok(format!("{INTRODUCTION}{summary}{sections}"))
}

fn section<'a>(
    service: &Covered<'_>,
    tiers: &BTreeMap<String, String>,
    missed: impl Iterator<Item = &'a String>,
) -> Result<String> {
    let src = workspace::root().join(service.owner).join("src");
    let functions = functions::of_crate(&src)?;
    let mut text = format!("\n## {}\n\n", service.name);
    text.push_str(
        "| operation | tier | used | without effect | refused |\n|---|---|---|---|---|\n",
    );
    for (name, path) in &service.served {
        let reached = functions::reached(&functions, path)?;
        let parameters = Parameters::of(service.model, name, &reached)?;
        let tier = tiers.get(name).map_or("", String::as_str);
        let cells = [&parameters.used, &parameters.without_effect, &parameters.refused];
        let cells = cells.map(|names| names.join(", "));
        let _ = writeln!(text, "| {name} | {tier} | {} |", cells.join(" | "));
    }
    let missed = missed.map(String::as_str).collect::<Vec<_>>();
    if !missed.is_empty() {
        let _ = writeln!(text, "\nOf tier 1, not served yet: {}.", missed.join(", "));
    }
    Ok(text)
}

/// The tiers of operations, from `xtask/data`.
fn tiers(service: &Covered<'_>) -> Result<BTreeMap<String, String>> {
    let file = workspace::root().join("xtask/data").join(format!("{}.csv", service.name));
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let rows = text.lines().skip(1).filter_map(|line| line.split_once(','));
    let tiers: BTreeMap<String, String> =
        rows.map(|(action, tier)| (action.to_owned(), tier.to_owned())).collect();
    for name in service.served.keys() {
        ensure!(tiers.contains_key(name), "{} lacks {name}", file.display());
    }
    Ok(tiers)
}

/// What becomes of an operation's parameters.
struct Parameters {
    used: Vec<String>,
    without_effect: Vec<String>,
    refused: Vec<String>,
}

impl Parameters {
    fn of(model: &Model, operation: &str, reached: &[&Function]) -> Result<Self> {
        let mut parameters =
            Self { used: Vec::new(), without_effect: Vec::new(), refused: Vec::new() };
        let input = model.operations.get(operation).and_then(|known| known.input.as_ref());
        let Some(input) = input else { return Ok(parameters) };
        let members = &model.shape(&input.shape)?.members.0;
        let bound = bound(reached, &input.shape);
        let bound = bound.with_context(|| format!("{operation} does not destructure its input"))?;
        let mut refused: BTreeSet<&str> = reached.iter().flat_map(|f| refused(&f.text)).collect();
        for (name, reference) in members {
            let wire = wire_name(model, name, reference)?;
            let field = names::field(name);
            let named = |refused: &&str| *refused == name || *refused == wire;
            let is_refused = refused.iter().any(named);
            refused.retain(|refused| !named(refused));
            let read = |function: &&Function| function.text.contains(&format!("input.{field}"));
            let ignored = bound.get(field.as_str()) == Some(&"_")
                && name != "DryRun"
                && !reached.iter().any(read);
            let list = match (is_refused, ignored) {
                (true, _) => &mut parameters.refused,
                (false, true) => &mut parameters.without_effect,
                (false, false) => &mut parameters.used,
            };
            list.push(name.clone());
        }
        parameters.refused.extend(refused.into_iter().map(str::to_owned));
        Ok(parameters)
    }
}

/// The name in requests of the ec2 protocol.
fn wire_name(model: &Model, name: &str, reference: &Reference) -> Result<String> {
    let target = model.shape(&reference.shape)?;
    let element = target.member.as_ref().filter(|_| target.flattened);
    let element = element.and_then(|element| element.location_name.as_deref());
    let wire = reference.location_name.as_deref().or(element).unwrap_or(name);
    Ok(reference.query_name.clone().unwrap_or_else(|| names::capitalized(wire)))
}

/// The fields of the pattern that takes the input apart, each with what it is bound to.
fn bound<'a>(reached: &[&'a Function], input: &str) -> Option<BTreeMap<&'a str, &'a str>> {
    let begins = [format!("let {input} {{"), format!("let api::{input} {{")];
    let after = |function: &&'a Function| {
        begins.iter().find_map(|begin| function.text.split_once(begin)).map(|(_, after)| after)
    };
    let pattern = reached.iter().find_map(after)?.split_once("} =")?.0;
    Some(
        pattern
            .split(',')
            .map(str::trim)
            .filter(|field| !field.is_empty())
            .map(|field| field.split_once(": ").unwrap_or((field, field)))
            .collect(),
    )
}

/// The parameters that a function refuses: `unsupported("Name")` and the pairs of `refuse`.
fn refused(text: &str) -> Vec<&str> {
    let has_pairs = text.contains("refuse(");
    let mut names = Vec::new();
    for (at, _) in text.match_indices('(') {
        let Some(rest) = text[at + 1..].trim_start().strip_prefix('"') else { continue };
        let Some((name, after)) = rest.split_once('"') else { continue };
        let is_call = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_pair = has_pairs && !is_call && after.starts_with(',') && !name.contains(' ');
        let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
        if is_name && (is_pair || text[..at].ends_with("unsupported")) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_found() {
        let text = "errors::refuse(&[\n (\"Aa\", a),\n (\n \"Bb.Cc\",\n b,\n ),\n])?;\n\
                    pair(\"Xx\", 1); return Err(errors::unsupported(\"Dd of the root\"));";
        assert_eq!(refused(text), ["Aa", "Bb.Cc", "Dd of the root"]);
        assert_eq!(refused("missing(\"Aa\", 1)"), [""; 0]);
    }

    #[test]
    fn patterns_are_read() {
        let text = "fn a() {\n    let Request { aa, bb: _,\n        r#type: kind } = input;\n}\n";
        let functions = functions::of_file("a", text);
        let bound = bound(&functions.iter().collect::<Vec<_>>(), "Request").unwrap();
        assert_eq!(bound, BTreeMap::from([("aa", "aa"), ("bb", "_"), ("r#type", "kind")]));
    }
}
