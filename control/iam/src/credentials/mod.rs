//! What else a user may sign with or in by, beside access keys: passwords, MFA devices,
//! certificates and keys.

pub mod login_profiles;
pub mod mfa;
pub mod server_certificates;
pub mod service_specific;
pub mod signing_certificates;
pub mod ssh_keys;
mod x509;

pub use login_profiles::LoginProfile;
pub use mfa::{MfaDevice, UsedCodes};
pub use server_certificates::ServerCertificate;
pub use service_specific::ServiceCredential;
pub use signing_certificates::SigningCertificate;
pub use ssh_keys::SshPublicKey;

use crate::{UniqueId, errors};
use shapes::{Fault, iam::StatusType};
use state::State;

/// Refuses the deletion of a user who still has some.
pub(crate) fn check_none(state: &State, user: &UniqueId) -> Result<(), Fault> {
    let conflict = |what: &str| errors::delete_conflict(format!("must delete {what} first."));
    if state.get::<LoginProfile>(user).is_some() {
        return Err(conflict("login profile"));
    }
    if state.find::<MfaDevice>("user", user).next().is_some() {
        return Err(conflict("MFA device"));
    }
    if state.find::<SigningCertificate>("user", user).next().is_some() {
        return Err(conflict("signing certificates"));
    }
    if state.find::<SshPublicKey>("user", user).next().is_some() {
        return Err(conflict("SSH public keys"));
    }
    if state.find::<ServiceCredential>("user", user).next().is_some() {
        return Err(conflict("service specific credentials"));
    }
    Ok(())
}

fn status(inactive: bool) -> Option<StatusType> {
    Some(if inactive { StatusType::Inactive } else { StatusType::Active })
}

/// Whether a credential is to be switched off.
fn to_inactive(status: Option<StatusType>) -> Result<bool, Fault> {
    match status {
        Some(StatusType::Active) | None => Ok(false),
        Some(StatusType::Inactive) => Ok(true),
        Some(StatusType::Expired) => {
            Err(errors::invalid_input("A credential cannot be set to Expired."))
        }
    }
}
