//! Credentials of a session, and the second factor.

use crate::{
    Issuer, Principal, Request,
    credentials::{MfaDevice, UsedCodes},
    sts::errors,
};
use session::{Salt, Session};
use shapes::{Fault, sts::Credentials};
use state::State;
use types::Timestamp;

/// The credentials of a session, as answers have them.
///
/// # Errors
/// None but ours: the limits of what a session holds are checked before.
pub(super) fn credentials(
    issuer: &mut Issuer<'_>,
    session: &Session,
) -> Result<Option<Credentials>, Fault> {
    let mut salt = Salt::default();
    issuer.effects.fill(&mut salt);
    let sealed = issuer.key.seal(session, &salt);
    let sealed =
        sealed.ok_or_else(|| Fault::receiver("InternalFailure", "A token can't be sealed."))?;
    Ok(Some(Credentials {
        access_key_id: Some(sealed.access_key_id),
        secret_access_key: Some(sealed.secret),
        session_token: Some(sealed.token),
        expiration: Some(session.expires),
    }))
}

/// When the caller showed a second factor: now, with a code, or before, in its session.
///
/// # Errors
/// The code isn't of a device of the caller's, or was shown before.
pub(super) fn second_factor(
    state: &State,
    request: &Request,
    (serial, code): (Option<String>, Option<String>),
    (codes, now): (&UsedCodes, Timestamp),
) -> Result<Option<Timestamp>, Fault> {
    let (Some(serial), Some(code)) = (&serial, &code) else {
        return match (serial, code) {
            (None, None) => Ok(request.caller.session.as_ref().and_then(|one| one.session.mfa_at)),
            _ => {
                Err(errors::validation("MFA serial number and token code must be given together."))
            }
        };
    };
    let device = state.get::<MfaDevice>(serial).filter(|device| match &request.caller.principal {
        Principal::User(id) => device.user.as_ref() == Some(id),
        Principal::Root(_) | Principal::Role(_) => false,
    });
    let step = device.and_then(|device| device.shows(code, now));
    let taken = step.filter(|step| codes.take(serial, *step, now));
    taken.map(|_| Some(now)).ok_or_else(errors::wrong_mfa_code)
}
