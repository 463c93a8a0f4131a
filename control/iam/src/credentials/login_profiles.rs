//! Login profiles: that a user has a password. There is no console to sign in to by one, so the
//! password is checked against the account's rules and not kept.

use crate::{
    Account, Request, UniqueId, User, accounts::password_policy::PasswordRules, entity, errors,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        CreateLoginProfileRequest, CreateLoginProfileResponse, DeleteLoginProfileRequest,
        DeleteLoginProfileResponse, GetLoginProfileRequest, GetLoginProfileResponse,
        LoginProfile as ApiProfile, UpdateLoginProfileRequest, UpdateLoginProfileResponse,
    },
};
use state::{Row, State, Tx};
use types::{Scope, Timestamp};

/// That a user has a password.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoginProfile {
    /// The user.
    pub user: UniqueId,
    /// When it was made.
    pub created: Timestamp,
    /// When the password was last set.
    pub changed: Timestamp,
    /// Whether the user must set another at the next sign-in.
    pub reset_required: bool,
}

impl Row for LoginProfile {
    const TABLE: &'static str = "iam-login-profile";
    /// The user's.
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.user.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
}

fn to_api(profile: &LoginProfile, user: &User) -> ApiProfile {
    ApiProfile {
        user_name: Some(user.named.name.clone()),
        create_date: Some(profile.created),
        password_reset_required: Some(profile.reset_required),
    }
}

fn check(state: &State, user: &User, password: &str) -> Result<(), Fault> {
    let account = state.get::<Account>(&user.named.account);
    let rules = account.and_then(|account| account.password_policy.as_ref());
    PasswordRules::check(rules, password)
}

fn find<'a>(state: &'a State, user: &User) -> Result<&'a LoginProfile, Fault> {
    let profile = state.get::<LoginProfile>(&user.named.id).map(AsRef::as_ref);
    profile.ok_or_else(|| errors::login_profile_not_found(&user.named.name))
}

/// Gives a user a password.
///
/// # Errors
/// There is no such user, it has one, or the password breaks the rules.
pub fn create_login_profile(
    tx: &mut Tx,
    request: &Request,
    input: CreateLoginProfileRequest,
) -> Result<CreateLoginProfileResponse, Fault> {
    let CreateLoginProfileRequest { user_name, password, password_reset_required } = input;
    let user = entity::user_of(tx, request, user_name.as_deref())?;
    if tx.get::<LoginProfile>(&user.named.id).is_some() {
        let message = format!("Login Profile for user {} already exists.", user.named.name);
        return Err(errors::already(message));
    }
    let Some(password) = password else {
        return Err(errors::invalid_input("The request must contain the parameter Password."));
    };
    check(tx, user, &password)?;
    let now = tx.now();
    let profile = LoginProfile {
        user: user.named.id.clone(),
        created: now,
        changed: now,
        reset_required: password_reset_required.unwrap_or_default(),
    };
    let answer = to_api(&profile, user);
    tx.put(profile);
    Ok(CreateLoginProfileResponse { login_profile: Some(answer) })
}

/// Takes a user's password away.
///
/// # Errors
/// There is no such user, or it has none.
pub fn delete_login_profile(
    tx: &mut Tx,
    request: &Request,
    input: DeleteLoginProfileRequest,
) -> Result<DeleteLoginProfileResponse, Fault> {
    let DeleteLoginProfileRequest { user_name } = input;
    let user = entity::user_of(tx, request, user_name.as_deref())?;
    let id = find(tx, user)?.user.clone();
    tx.delete::<LoginProfile>(&id);
    Ok(DeleteLoginProfileResponse {})
}

/// Whether and since when a user has a password.
///
/// # Errors
/// There is no such user, or it has none.
pub fn get_login_profile(
    state: &State,
    request: &Request,
    input: GetLoginProfileRequest,
) -> Result<GetLoginProfileResponse, Fault> {
    let GetLoginProfileRequest { user_name } = input;
    let user = entity::user_of(state, request, user_name.as_deref())?;
    Ok(GetLoginProfileResponse { login_profile: Some(to_api(find(state, user)?, user)) })
}

/// Changes a user's password.
///
/// # Errors
/// There is no such user, it has none, or the new one breaks the rules.
pub fn update_login_profile(
    tx: &mut Tx,
    request: &Request,
    input: UpdateLoginProfileRequest,
) -> Result<UpdateLoginProfileResponse, Fault> {
    let UpdateLoginProfileRequest { user_name, password, password_reset_required } = input;
    let user = entity::find::<User>(tx, request.caller.account, user_name.as_deref())?;
    let mut profile = find(tx, user)?.clone();
    if let Some(password) = password {
        check(tx, user, &password)?;
        profile.changed = tx.now();
    }
    if let Some(required) = password_reset_required {
        profile.reset_required = required;
    }
    tx.put(profile);
    Ok(UpdateLoginProfileResponse {})
}
