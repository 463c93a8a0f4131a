//! `fogbank ssh` and `fogbank ssh-config`: logins by instance ID, through a tunnel of the VPC
//! card's, so that an instance needs neither a public address nor a rule for it.

use crate::{
    client::{Client, element, elements},
    paths::Paths,
    tunnel,
};
use anyhow::Context as _;
use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

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
    let client = Client::new(paths)?;
    let instance = tunnel::describe(&client, &options.instance)?;
    element(&instance, "networkInterfaceId").with_context(|| {
        format!("{} has no network interface now: is it running?", options.instance)
    })?;
    let login = match &options.login {
        Some(login) => login.clone(),
        None => image_login(&client, &instance),
    };
    let key = options.identity.clone().or_else(|| key_file(&element(&instance, "keyName")?));
    let mut command = Command::new("ssh");
    if let Some(key) = key {
        command.arg("-i").arg(key).args(["-o", "IdentitiesOnly=yes"]);
    }
    // Addresses are used again by other instances: the host key is remembered by instance.
    command
        .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
        .arg(format!("UserKnownHostsFile={}", known_hosts(paths)))
        .args(["-o", &format!("HostKeyAlias={}", options.instance)])
        .args(["-o", &format!("ProxyCommand={}", proxy_command(paths, &options.instance)?)])
        .args(["-l", &login, &options.instance, "--"])
        .args(&options.command);
    Err(command.exec()).context("start ssh: is openssh-client installed?")
}

/// Prints a configuration of ssh by which it reaches instances by their IDs.
pub fn ssh_config(paths: &Paths) -> anyhow::Result<()> {
    let client = Client::new(paths)?;
    let running = client.ec2(
        "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=instance-state-name&\
         Filter.1.Value.1=running",
    )?;
    for id in elements(&running, "instanceId") {
        let instance = tunnel::describe(&client, &id)?;
        out!("Host {id}");
        out!("    User {}", image_login(&client, &instance));
        if let Some(key) = element(&instance, "keyName").and_then(|name| key_file(&name)) {
            let key = std::path::absolute(key)?;
            out!("    IdentityFile {}", config_word(&key.display().to_string()));
            out!("    IdentitiesOnly yes");
        }
    }
    out!("Host i-*");
    out!("    ProxyCommand {}", proxy_command(paths, "%h")?);
    out!("    StrictHostKeyChecking accept-new");
    out!("    UserKnownHostsFile {}", known_hosts(paths));
    Ok(())
}

/// The file of a key pair's private key, where people keep it.
fn key_file(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let files =
        [PathBuf::from(format!("{name}.pem")), home.join(".ssh").join(format!("{name}.pem"))];
    files.into_iter().find(|file| file.is_file())
}

fn known_hosts(paths: &Paths) -> String {
    config_word(&paths.data.join("known_hosts").display().to_string())
}

/// What ssh runs to connect: by its user's shell, after expanding `%`.
fn proxy_command(paths: &Paths, instance: &str) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("find this program")?;
    let word = |path: &Path| shell_word(&path.display().to_string()).replace('%', "%%");
    let (program, data) = (word(&program), word(&paths.data));
    Ok(format!("{program} open-tunnel --data {data} {instance}"))
}

fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// As one word of a configuration of ssh.
fn config_word(text: &str) -> String {
    let text = text.replace('%', "%%");
    if text.contains(' ') { format!("\"{text}\"") } else { text }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        assert_eq!(shell_word("/opt/fogbank"), "/opt/fogbank");
        assert_eq!(shell_word("/my cloud's/x"), r"'/my cloud'\''s/x'");
        assert_eq!(config_word("/a b/50%"), "\"/a b/50%%\"");
    }
}
