//! How accounts are made: AWS answers at once and lets one ask how it went, so that is kept here.

use crate::errors;
use crate::page::page;
use iam::{
    Request,
    membership::{self, NewAccount, NotOpened},
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    organizations::{
        CreateAccountFailureReason, CreateAccountRequest, CreateAccountResponse,
        CreateAccountState, CreateAccountStatus, DescribeCreateAccountStatusRequest,
        DescribeCreateAccountStatusResponse, ListCreateAccountStatusRequest,
        ListCreateAccountStatusResponse,
    },
};
use state::{Row, State, Tx};
use types::{AccountId, Scope, Timestamp};

/// How many are kept: the oldest are forgotten.
const MAX_KEPT: usize = 1000;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The account.
    Succeeded(AccountId),
    /// There are as many accounts as there may be.
    TooMany,
    /// Another account has the e-mail address.
    EmailTaken,
}

/// An account that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Creation {
    /// `car-…`: it begins with the time, so that IDs are in order.
    pub id: String,
    /// The account's name.
    pub name: String,
    /// When it was asked for, and done.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

impl Row for Creation {
    const TABLE: &'static str = "organization-creation";
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
}

impl Creation {
    fn state(&self) -> CreateAccountState {
        match self.outcome {
            Outcome::Succeeded(_) => CreateAccountState::Succeeded,
            Outcome::TooMany | Outcome::EmailTaken => CreateAccountState::Failed,
        }
    }

    fn to_api(&self) -> CreateAccountStatus {
        let (account, reason) = match self.outcome {
            Outcome::Succeeded(account) => (Some(account.to_string()), None),
            Outcome::TooMany => (None, Some(CreateAccountFailureReason::AccountLimitExceeded)),
            Outcome::EmailTaken => (None, Some(CreateAccountFailureReason::EmailAlreadyExists)),
        };
        CreateAccountStatus {
            id: Some(self.id.clone()),
            account_name: Some(self.name.clone()),
            state: Some(self.state()),
            requested_timestamp: Some(self.at),
            completed_timestamp: Some(self.at),
            account_id: account,
            gov_cloud_account_id: None,
            failure_reason: reason,
        }
    }
}

/// Makes an account. As at AWS the answer is that it is under way; what came of it is to be asked for.
///
/// # Errors
/// The caller doesn't manage the organization, or a tag is invalid.
pub fn create_account(
    tx: &mut Tx,
    request: &Request,
    input: CreateAccountRequest,
) -> Result<CreateAccountResponse, Fault> {
    let CreateAccountRequest { email, account_name, role_name, iam_user_access_to_billing, tags } =
        input;
    // There are no bills.
    let _ = iam_user_access_to_billing;
    errors::manager(tx, request)?;
    let name = account_name.unwrap_or_default();
    let tags = crate::tags::new(tags)?;
    let new = NewAccount { name: name.clone(), email, access_role: role_name, tags };
    let outcome = match membership::open(tx, new) {
        Ok(account) => Outcome::Succeeded(account.id),
        Err(NotOpened::TooMany) => Outcome::TooMany,
        Err(NotOpened::EmailTaken) => Outcome::EmailTaken,
    };
    while tx.count::<Creation>() >= MAX_KEPT {
        let Some(oldest) = tx.iter::<Creation>().next().map(|row| row.id.clone()) else { break };
        tx.delete::<Creation>(&oldest);
    }
    let (at, chance) = (tx.now(), tx.effects().random());
    let id = format!("car-{:012x}{chance:016x}", at.millis());
    let creation = Creation { id, name, at, outcome };
    let under_way = CreateAccountStatus {
        state: Some(CreateAccountState::InProgress),
        completed_timestamp: None,
        account_id: None,
        failure_reason: None,
        ..creation.to_api()
    };
    tx.put(creation);
    Ok(CreateAccountResponse { create_account_status: Some(under_way) })
}

/// What came of an account that was asked for.
///
/// # Errors
/// The caller doesn't manage the organization, or nothing was asked for by this ID.
pub fn describe_create_account_status(
    state: &State,
    request: &Request,
    input: DescribeCreateAccountStatusRequest,
) -> Result<DescribeCreateAccountStatusResponse, Fault> {
    let DescribeCreateAccountStatusRequest { create_account_request_id } = input;
    errors::manager(state, request)?;
    let row = state.get::<Creation>(&create_account_request_id.unwrap_or_default());
    let row = row.ok_or_else(errors::creation_not_found)?;
    Ok(DescribeCreateAccountStatusResponse { create_account_status: Some(row.to_api()) })
}

/// What came of all accounts that were asked for, or of those with these outcomes.
///
/// # Errors
/// The caller doesn't manage the organization, or the token is invalid.
pub fn list_create_account_status(
    state: &State,
    request: &Request,
    input: ListCreateAccountStatusRequest,
) -> Result<ListCreateAccountStatusResponse, Fault> {
    let ListCreateAccountStatusRequest { states, next_token, max_results } = input;
    errors::manager(state, request)?;
    let wanted = states.filter(|states| !states.is_empty());
    let rows = state.iter::<Creation>();
    let rows =
        rows.filter(|row| wanted.as_ref().is_none_or(|states| states.contains(&row.state())));
    let page = page(rows, |row| row.id.clone(), max_results, next_token)?;
    Ok(ListCreateAccountStatusResponse {
        create_account_statuses: Some(page.rows.iter().map(|row| row.to_api()).collect()),
        next_token: page.next,
    })
}
