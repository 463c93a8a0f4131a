//! `fogbank user-data` and `fogbank identity-certificate`: what others trust this cloud by.

use crate::paths::Paths;
use anyhow::Context as _;
use std::{fs, io::ErrorKind};

/// Where Debian and its kin keep all the certificates that a system trusts.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where they keep those that were added, for when the bundle is made anew.
const ADDED: &str = "/usr/local/share/ca-certificates/fogbank.crt";

/// Prints user data by which cloud-init makes an instance trust the cloud's certificate authority.
///
/// It adds to the bundle itself: cloud-init's own `ca_certs` makes all of it anew, which takes minutes in
/// an emulated guest, and is done only after what else is installed at the first boot.
pub fn user_data(paths: &Paths) -> anyhow::Result<()> {
    let path = paths.authority();
    let certificate = read(&path.display().to_string(), "start the cloud: 'fogbank up'")?;
    out!("#cloud-config");
    out!(
        "# Trusts this cloud's certificate authority, so that AWS's tools reach its services under"
    );
    out!("# AWS's own names, on Debian, Ubuntu and their kin.");
    out!("write_files:");
    for (file, append) in [(ADDED, false), (BUNDLE, true)] {
        out!("  - path: {file}");
        out!("    append: {append}");
        out!("    content: |");
        for line in certificate.lines() {
            out!("      {line}");
        }
    }
    out!("  - path: /etc/environment");
    out!("    append: true");
    out!("    content: |");
    for name in ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"] {
        out!("      {name}={BUNDLE}");
    }
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
