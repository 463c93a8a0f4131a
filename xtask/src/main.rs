//! Developer tasks: generate, catalogue, protocol-cases, tidy, test.

mod bench;
mod cases;
mod catalogue;
mod generate;
mod model;
mod names;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Developer tasks of Fogbank.

  cargo xtask generate            write wire/shapes from AWS's service model, and docs/coverage.md
  cargo xtask generate --check    exit 1 if they are not what generate would write
  cargo xtask catalogue           write the catalogue of instance types from moto's data
  cargo xtask protocol-cases FILE [PROTOCOL…]
                                  run protocol cases; all protocols we implement if none is named
  cargo xtask tidy                check the rules that the compiler does not
  cargo xtask test [PART…]        run all tests, or these parts: lint, rust, api, guest
  cargo xtask bench NAME          run a benchmark beside its peer: api, launch, density, keys, net, objects
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task found nothing to complain about.
fn run(arguments: &[String]) -> Result<bool> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["generate"] => generate::write().map(|()| true),
        ["generate", "--check"] => generate::check(),
        ["catalogue"] => catalogue::write().map(|()| true),
        ["protocol-cases", file, protocols @ ..] => cases::run(file, protocols),
        ["tidy"] => tidy::check(),
        ["test", parts @ ..] => test::run(parts),
        ["bench", name] => bench::run(name),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        [task, ..] => {
            bail!("there is no such task, or not with these arguments: {task}\n\n{USAGE}")
        }
    }
}
