//! The functions of a crate as text: rustfmt's layout tells where each begins and ends.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result};

/// A function: where it is, and its text.
pub struct Function {
    /// The file's path within `src`, without its ending and without `mod`.
    pub module: String,
    pub name: String,
    pub text: String,
    /// What its file imports.
    imports: Rc<str>,
}

/// All functions of a crate but those of tests, from its folder `src`.
pub fn of_crate(src: &Path) -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    let mut folders = vec![src.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
        for path in paths {
            let stem = path.file_stem().unwrap_or_default();
            if stem == "tests" || stem == "testing" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.strip_prefix(src)?.with_extension("");
            let module = if module.ends_with("mod") { folder.strip_prefix(src)? } else { &module };
            functions.extend(of_file(&module.to_string_lossy(), &fs::read_to_string(&path)?));
        }
    }
    Ok(functions)
}

/// All functions of a file but those of its tests.
pub fn of_file(module: &str, text: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    // Imports come first; a function's own begin further right.
    let imports = text.split("\nuse ").skip(1).filter_map(|rest| rest.split(';').next());
    let imports: Rc<str> = imports.collect::<Vec<_>>().join(";").into();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = declared(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut body = format!("{line}\n");
        let end = format!("{indent}}}");
        // One that fits in a line, or has no body, ends there.
        if !line.ends_with(['}', ';']) {
            for line in lines.by_ref() {
                body.push_str(line);
                body.push('\n');
                if line == end {
                    break;
                }
            }
        }
        functions.push(Function {
            module: module.to_owned(),
            name: name.to_owned(),
            text: body,
            imports: imports.clone(),
        });
    }
    functions
}

/// The name of the function that begins in this line.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || word.ends_with("::super)") || ["async", "const"].contains(word)
    });
    let name = words.next().filter(|word| *word == "fn").and_then(|_| words.next())?;
    name.split(['(', '<']).next()
}

impl Function {
    fn is_method(&self) -> bool {
        self.text.split_once('(').is_some_and(|(_, rest)| {
            rest.trim_start().trim_start_matches(['&', 'm', 'u', 't', ' ']).starts_with("self")
        })
    }

    fn imports(&self, name: &str) -> bool {
        self.imports.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
    }

    /// What it calls: the qualifier before `::`, if any, whether as a method, and the name.
    fn calls(&self) -> BTreeSet<(Option<&str>, bool, &str)> {
        let text = self.text.as_str();
        let mut calls = BTreeSet::new();
        for (at, _) in text.match_indices('(') {
            let (before, name) = last_word(&text[..at]);
            if name.is_empty() {
                continue;
            }
            let qualifier = before.strip_suffix("::").map(|before| last_word(before).1);
            calls.insert((qualifier, before.ends_with('.'), name));
        }
        calls
    }
}

/// A text without the identifier that it ends with, and that.
fn last_word(text: &str) -> (&str, &str) {
    let start = text
        .char_indices()
        .rev()
        .find(|(_, c)| !c.is_alphanumeric() && *c != '_')
        .map_or(0, |(at, c)| at + c.len_utf8());
    text.split_at(start)
}

/// The function at a path such as `vpc::subnets::create_subnet`, and all of its resource's
/// functions that it calls, at any depth. A resource is a file, or a folder of files.
pub fn reached<'a>(functions: &'a [Function], path: &str) -> Result<Vec<&'a Function>> {
    let (resource, name) = path.rsplit_once("::").context("a function of no module")?;
    let resource = resource.rsplit("::").next().unwrap_or(resource);
    let of_resource: Vec<&Function> = functions
        .iter()
        .filter(|function| function.module.split('/').any(|part| part == resource))
        .collect();
    let first = of_resource.iter().find(|function| function.name == name);
    let first = *first.with_context(|| format!("there is no function {path}"))?;
    let mut reached = vec![first];
    let mut next = 0;
    while let Some(caller) = reached.get(next).copied() {
        next += 1;
        for (qualifier, as_method, name) in caller.calls() {
            let called = of_resource
                .iter()
                .filter(|function| function.name == name && function.is_method() == as_method);
            let called: Vec<&Function> = match qualifier {
                Some(module) if module.starts_with(|c: char| c.is_lowercase()) => {
                    let of =
                        |function: &&&Function| function.module.rsplit('/').next() == Some(module);
                    called.filter(of).copied().collect()
                }
                _ => {
                    let (here, there): (Vec<&Function>, Vec<&Function>) =
                        called.partition(|function| function.module == caller.module);
                    let known = as_method || qualifier.is_some() || caller.imports(name);
                    if here.is_empty() && known { there } else { here }
                }
            };
            for function in called {
                if !reached.iter().any(|other| std::ptr::eq(*other, function)) {
                    reached.push(function);
                }
            }
        }
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
pub fn first(input: Request) -> u8 {
    let Request { a, b: _ } = input;
    second(a).third()
}

pub(in super::super) fn second(a: u8) -> Row {
    other::unrelated(a);
}

impl Row {
    fn third(&self) -> u8 { 3 }

    fn unrelated() {
    }
}
";

    #[test]
    fn what_a_function_calls_is_reached() {
        let functions = of_file("vpc/rows", FILE);
        let names = functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["first", "second", "third", "unrelated"]);
        let reached = reached(&functions, "vpc::rows::first").unwrap();
        let names = reached.iter().map(|function| function.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["first", "second", "third"]);
    }
}
