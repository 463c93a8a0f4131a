//! Whether KVM really works here: a tiny 64-bit guest must say two letters and halt.
//!
//! A `/dev/kvm` that opens is no proof: some clouds' kernels offer one that cannot run a guest.

use anyhow::Result;

/// Runs the guest; the error says in words for people what is missing.
///
/// # Errors
/// KVM is absent, closed to us, or does not run the guest.
pub fn kvm() -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    return x86::probe();
    #[cfg(not(target_arch = "x86_64"))]
    anyhow::bail!("KVM is used on x86-64 processors only, so far");
}

#[cfg(target_arch = "x86_64")]
mod x86;
