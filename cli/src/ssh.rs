//! `fogbank ssh`: the login that one would type by hand, with the addresses looked up.

use crate::{
    client::{Client, element},
    paths::Paths,
};
use anyhow::Context as _;
use std::{os::unix::process::CommandExt as _, path::PathBuf, process::Command};

/// What `ssh` may be told.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The private key [default: KEYNAME.pem here or in ~/.ssh, else ssh's own]
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// The user [default: the image's]
    #[arg(short, long)]
    login: Option<String>,
    /// The instance's ID
    instance: String,
    /// A command to run instead of a shell
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Replaces this process with ssh.
pub fn ssh(paths: &Paths, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.instance.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        "'{}' is no instance ID",
        options.instance
    );
    let client = Client::new(paths)?;
    let instance = client.ec2(&format!(
        "Action=DescribeInstances&Version=2016-11-15&InstanceId.1={}",
        options.instance
    ))?;
    let address = element(&instance, "ipAddress").with_context(|| {
        format!("{} has no public IP address now: is it running?", options.instance)
    })?;
    let login = match &options.login {
        Some(login) => login.clone(),
        None => image_login(&client, &instance),
    };
    let key = options.identity.clone().or_else(|| {
        let name = element(&instance, "keyName")?;
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let files =
            [PathBuf::from(format!("{name}.pem")), home.join(".ssh").join(format!("{name}.pem"))];
        files.into_iter().find(|file| file.is_file())
    });
    let mut command = Command::new("ssh");
    if let Some(key) = key {
        command.arg("-i").arg(key).args(["-o", "IdentitiesOnly=yes"]);
    }
    // Addresses are used again by other instances: the host key is remembered by instance.
    command
        .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
        .arg(format!("UserKnownHostsFile={}", paths.data.join("known_hosts").display()))
        .args(["-o", &format!("HostKeyAlias={}", options.instance), "-l", &login, &address, "--"])
        .args(&options.command);
    Err(command.exec()).context("start ssh: is openssh-client installed?")
}

/// The user of the image that the instance was launched from.
fn image_login(client: &Client, instance: &str) -> String {
    let name = element(instance, "imageId").and_then(|image| {
        let form = format!("Action=DescribeImages&Version=2016-11-15&ImageId.1={image}");
        element(&client.ec2(&form).ok()?, "name")
    });
    let debian = name.is_some_and(|name| name.contains("debian"));
    if debian { "admin" } else { "ec2-user" }.to_owned()
}
