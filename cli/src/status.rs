//! `fogbank env`, `fogbank status` and `fogbank reset`.

use crate::{
    admin, client, paths::Paths, process::Process, roles::Role, settings::Settings, store,
};
use anyhow::Context as _;
use server::AdminRequest;
use std::{
    io::{BufRead as _, Write as _},
    process::ExitCode,
};

/// Prints what points AWS tools at the cloud.
pub fn env(paths: &Paths, tls: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        Settings::load(paths)?.is_some(),
        "no cloud here yet: start one with 'fogbank up'"
    );
    let (key, secret) = client::credentials(paths)?;
    print_env(paths, tls, &key, &secret)
}

/// Prints what points AWS tools at the cloud with this key.
pub fn print_env(paths: &Paths, tls: bool, key: &str, secret: &str) -> anyhow::Result<()> {
    let settings =
        Settings::load(paths)?.context("no cloud here yet: start one with 'fogbank up'")?;
    let scheme = if tls { "https" } else { "http" };
    out!("export AWS_ENDPOINT_URL={scheme}://{}", settings.listen);
    out!("export AWS_CA_BUNDLE={}", quoted(&paths.authority().display().to_string()));
    out!("export AWS_ACCESS_KEY_ID={key}");
    out!("export AWS_SECRET_ACCESS_KEY={secret}");
    out!("export AWS_DEFAULT_REGION=us-east-1");
    out!("unset AWS_SESSION_TOKEN AWS_PROFILE");
    Ok(())
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Shows how the cloud is; fails if it isn't up.
pub fn status(paths: &Paths) -> anyhow::Result<ExitCode> {
    out!("Data      {}", paths.data.display());
    let Some(settings) = Settings::load(paths)? else {
        out!("State     never started: 'fogbank up'");
        return Ok(ExitCode::FAILURE);
    };
    out!("Endpoint  http://{}", settings.listen);
    if settings.trust_any_key {
        out!("          WARNING: any key is trusted");
    }
    out!("Public IP addresses from {}", settings.public_pool);
    out!("IPv6 blocks from {}", settings.ipv6_pool(paths));
    let mut well = true;
    let mut line = |name: &str, file: String| {
        let process = Process::noted(&paths.run_file(&file));
        well &= process.is_some();
        let state = process.map_or("not running".to_owned(), |at| format!("process {}", at.pid));
        out!("{name:<11}{state}");
    };
    line("supervisor", "supervisor.pid".to_owned());
    for role in Role::all(&settings) {
        line(role.name(), format!("{}.pid", role.name()));
    }
    match admin::ask(paths, &AdminRequest::Status) {
        Ok(status) => {
            for host in status.hosts {
                out!(
                    "Host      {} ({}, {}): {} vCPUs and {} of {} MiB in use, {} processors",
                    host.name,
                    host.hypervisor,
                    if host.connected { "connected" } else { "not connected" },
                    host.used_vcpus,
                    host.used_memory_mib,
                    host.memory_mib,
                    host.vcpus
                );
            }
            for (state, count) in status.instances {
                out!("Instances {count} {state}");
            }
            for image in status.images {
                out!("Image     {image}");
            }
            let server::TrailStatus { written, dropped, refused } = status.audit;
            out!("Audit     {written} events, {dropped} lost; {refused} requests of nobody's");
        }
        Err(error) => {
            out!("{error:#}");
            well = false;
        }
    }
    match store::status(paths) {
        Ok(store) => {
            well &= store::is_well(&store);
            out!("Objects   {}", store::summary(&store));
            for line in store::complaints(&store) {
                out!("          {line}");
            }
        }
        Err(error) => {
            out!("Objects   {error:#}");
            well = false;
        }
    }
    out!("Logs      {}", paths.logs().display());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Wipes everything but the images.
pub fn reset(paths: &Paths, yes: bool) -> anyhow::Result<()> {
    if !yes {
        print!(
            "This deletes all instances, volumes, networks, buckets and objects of the cloud in {}. \
             Type 'reset': ",
            paths.data.display()
        );
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        anyhow::ensure!(answer.trim() == "reset", "nothing was deleted");
    }
    admin::ask(paths, &AdminRequest::Reset)?;
    out!("The cloud is empty.");
    Ok(())
}
