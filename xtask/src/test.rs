//! All tests: lints, Rust tests, and the end-to-end tests with real clients and guests.

use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// A part of the test run, by name.
type Part = (&'static str, fn(&Path) -> Result<()>);

const PARTS: [Part; 5] =
    [("lint", lint), ("rust", rust), ("api", api), ("objects", objects), ("guest", guest)];

/// What runs only when it is named: it installs packages that nothing else needs.
const NAMED: [Part; 1] = [("ceph", ceph)];

/// Runs all parts, or those named.
pub fn run(names: &[&str]) -> Result<bool> {
    let root = workspace::root();
    let known: Vec<&str> = PARTS.iter().chain(&NAMED).map(|(name, _)| *name).collect();
    for name in names {
        ensure!(known.contains(name), "there is no part {name}; there are: {}", known.join(", "));
    }
    let mut took = Vec::new();
    for (name, part) in PARTS.into_iter().chain(NAMED) {
        let always = names.is_empty() && PARTS.iter().any(|(each, _)| *each == name);
        if always || names.contains(&name) {
            let began = Instant::now();
            eprintln!("== {name}");
            part(&root).with_context(|| format!("the part {name} failed"))?;
            took.push(format!("{name} {} s", began.elapsed().as_secs()));
        }
    }
    eprintln!("All passed: {}.", took.join(", "));
    Ok(true)
}

/// Runs a command in the project's folder and sees it succeed.
pub fn command(root: &Path, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.current_dir(root).args(args);
    succeed(command)
}

fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

fn lint(root: &Path) -> Result<()> {
    command(root, "cargo", &["fmt", "--all", "--check"])?;
    command(
        root,
        "cargo",
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    )
}

fn rust(root: &Path) -> Result<()> {
    let nextest = Command::new("cargo").args(["nextest", "--version"]).output();
    let nextest = nextest.is_ok_and(|output| output.status.success());
    // The generator's freshness test reads AWS's model from the pinned botocore.
    let python = python(root)?;
    let own = python.parent().map(Path::to_path_buf).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(own.chain(std::env::split_paths(&path)))?;
    let mut command = Command::new("cargo");
    command.current_dir(root).env("PATH", path);
    command.args(if nextest { &["nextest", "run"][..] } else { &["test"] });
    command.args(["--workspace", "--no-fail-fast"]);
    succeed(command)
}

fn api(root: &Path) -> Result<()> {
    succeed(pytest(root, "tests/api")?)
}

fn objects(root: &Path) -> Result<()> {
    succeed(pytest(root, "tests/objects")?)
}

fn guest(root: &Path) -> Result<()> {
    succeed(pytest(root, "tests/guest")?)
}

/// The storage node over RADOS, and a cloud on it, with a throw-away Ceph.
fn ceph(root: &Path) -> Result<()> {
    let script = root.join("tests/ceph/ceph.sh");
    command(root, &script, &["install"])?;
    let test = ["test", "--quiet", "--package", "rados", "--test", "it"];
    command(root, "cargo", &[&test[..], &["--no-run"]].concat())?;
    let folder = std::env::temp_dir().join(format!("fogbank-ceph-{}", std::process::id()));
    let path = folder.to_str().context("the folder for temporary files has no plain name")?;
    let ran = command(root, &script, &["start", path]).and_then(|()| {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root).env("FOGBANK_CEPH_CONF", folder.join("ceph.conf"));
        cargo.args(test).args(["--", "--ignored", "--test-threads=4"]);
        succeed(cargo)?;
        let mut pytest = pytest(root, "tests/ceph")?;
        pytest.env("FOGBANK_CEPH_CONF", folder.join("ceph.conf"));
        succeed(pytest)
    });
    let stopped = command(root, &script, &["stop", path]);
    ran.and(stopped)
}

/// The end-to-end tests of a folder, with the program built.
fn pytest(root: &Path, folder: &str) -> Result<Command> {
    command(root, "cargo", &["build", "--release", "--quiet", "--package", "fogbank"])?;
    let mut pytest = Command::new(python(root)?);
    pytest.current_dir(root).args(["-m", "pytest", "--quiet", "--durations=5", folder]);
    Ok(pytest)
}

/// The Python of the project's own environment, with what the tests need.
pub fn python(root: &Path) -> Result<PathBuf> {
    let venv = root.join(".venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(root.join("tests/requirements.txt"))
        .context("read tests/requirements.txt")?;
    let stamp = venv.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    eprintln!("Installing the tests' Python packages into .venv, once, about a minute.");
    command(root, "python3", &["-m", "venv", ".venv"])
        .context("make .venv: is python3-venv installed?")?;
    command(
        root,
        &python,
        &[
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            "tests/requirements.txt",
        ],
    )?;
    std::fs::write(&stamp, wanted).context("note what is installed")?;
    Ok(python)
}
