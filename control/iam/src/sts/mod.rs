//! The Security Token Service: temporary credentials, which are sealed in their tokens and stored
//! nowhere.

pub mod assume_role;
mod errors;
mod issue;
mod narrow;
pub mod tokens;
pub mod web_identity;

use crate::{AccessKey, Issuer, Request};
use shapes::{
    Fault,
    sts::{
        DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse,
        GetAccessKeyInfoRequest, GetAccessKeyInfoResponse, GetCallerIdentityRequest,
        GetCallerIdentityResponse,
    },
};
use state::State;

/// Who the caller is.
///
/// # Errors
/// None: every authenticated caller may ask.
pub fn get_caller_identity(
    _: &State,
    request: &Request,
    input: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, Fault> {
    let GetCallerIdentityRequest {} = input;
    Ok(GetCallerIdentityResponse {
        user_id: Some(request.caller.user_id.clone()),
        account: Some(request.caller.account.to_string()),
        arn: Some(request.caller.arn.clone()),
    })
}

/// Whose an access key is: the account.
///
/// # Errors
/// The key is none of this cloud's.
pub fn get_access_key_info(
    state: &State,
    _: &Request,
    input: GetAccessKeyInfoRequest,
) -> Result<GetAccessKeyInfoResponse, Fault> {
    let GetAccessKeyInfoRequest { access_key_id } = input;
    let id = access_key_id.unwrap_or_default();
    let account = match session::account_of(&id) {
        Some(account) => Some(account),
        None => state.get::<AccessKey>(&id).map(|key| key.account),
    };
    let account = account.ok_or_else(|| errors::unknown_key(&id))?;
    Ok(GetAccessKeyInfoResponse { account: Some(account.to_string()) })
}

/// What a sealed message about a refusal says, as JSON.
///
/// # Errors
/// It is none of this cloud's.
pub fn decode_authorization_message(
    _: &State,
    _: &Request,
    input: DecodeAuthorizationMessageRequest,
    issuer: &mut Issuer<'_>,
) -> Result<DecodeAuthorizationMessageResponse, Fault> {
    let DecodeAuthorizationMessageRequest { encoded_message } = input;
    let opened = issuer.key.open_message(&encoded_message.unwrap_or_default());
    let decoded = opened.ok_or_else(errors::invalid_message)?;
    Ok(DecodeAuthorizationMessageResponse { decoded_message: Some(decoded) })
}

#[cfg(test)]
mod tests;
