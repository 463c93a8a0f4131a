//! The Security Token Service.

use crate::Request;
use shapes::{
    Fault,
    sts::{GetCallerIdentityRequest, GetCallerIdentityResponse},
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
