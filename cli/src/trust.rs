//! `fogbank user-data` and `fogbank identity-certificate`: what others trust this cloud by.

use crate::paths::Paths;
use anyhow::Context as _;
use std::{fs, io::ErrorKind};

/// Where Debian and its kin keep the certificates that a system trusts.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Prints user data by which cloud-init makes an instance trust the cloud's certificate authority.
pub fn user_data(paths: &Paths) -> anyhow::Result<()> {
    let path = paths.authority();
    let certificate = read(&path.display().to_string(), "start the cloud: 'fogbank up'")?;
    out!("#cloud-config");
    out!(
        "# Trusts this cloud's certificate authority, so that AWS's tools reach its services under"
    );
    out!("# AWS's own names: see docs/guide/instance-roles.md.");
    out!("ca_certs:");
    out!("  trusted:");
    out!("    - |");
    for line in certificate.lines() {
        out!("      {line}");
    }
    out!("write_files:");
    out!("  - path: /etc/environment");
    out!("    append: true");
    out!("    content: |");
    out!("      AWS_CA_BUNDLE={BUNDLE}");
    out!("      REQUESTS_CA_BUNDLE={BUNDLE}");
    Ok(())
}

/// Prints the certificate that instances' identity documents are checked by.
pub fn identity_certificate(paths: &Paths) -> anyhow::Result<()> {
    let path = paths.data.join("identity/certificate.pem");
    let hint = "it is made when the first host with real instances joins";
    let certificate = read(&path.display().to_string(), hint)?;
    out!("{}", certificate.trim_end());
    Ok(())
}

fn read(path: &str, hint: &str) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("{path} isn't there yet: {hint}")
        }
        read => read.with_context(|| format!("read {path}")),
    }
}
