//! Which tokens STS's global endpoint gives.

use crate::{Account, Request, accounts};
use shapes::{
    Fault,
    iam::{
        GlobalEndpointTokenVersion, SetSecurityTokenServicePreferencesRequest,
        SetSecurityTokenServicePreferencesResponse,
    },
};
use state::Tx;

/// Sets the version of the global endpoint's tokens, which the account's summary shows. Tokens
/// here are good in all regions, whichever it is.
///
/// # Errors
/// None.
pub fn set_security_token_service_preferences(
    tx: &mut Tx,
    request: &Request,
    input: SetSecurityTokenServicePreferencesRequest,
) -> Result<SetSecurityTokenServicePreferencesResponse, Fault> {
    let SetSecurityTokenServicePreferencesRequest { global_endpoint_token_version: version } =
        input;
    let second_token_version = version == Some(GlobalEndpointTokenVersion::V2Token);
    let account = accounts::take(tx, request);
    tx.put(Account { second_token_version, ..account });
    Ok(SetSecurityTokenServicePreferencesResponse {})
}
