//! The accounts of the organization: `ACTIVE`, or `SUSPENDED` once they are closed.

use crate::{
    errors,
    organization::email,
    page::{Page, page},
};
use iam::{Account, Organization, Request, membership};
use shapes::{
    Fault,
    organizations::{
        Account as ApiAccount, AccountJoinedMethod, AccountState, AccountStatus,
        CloseAccountRequest, CloseAccountResponse, DescribeAccountRequest, DescribeAccountResponse,
        ListAccountsRequest, ListAccountsResponse,
    },
};
use state::{State, Tx};
use types::AccountId;

/// `arn:aws:organizations::MANAGEMENT:account/o-…/ACCOUNT`
pub(crate) fn arn(organization: &Organization, id: AccountId) -> String {
    organization.arn("account", &id.to_string())
}

fn to_api(organization: &Organization, account: &Account) -> ApiAccount {
    let invited = account.id == organization.management;
    let closed = account.closed.is_some();
    ApiAccount {
        id: Some(account.id.to_string()),
        arn: Some(arn(organization, account.id)),
        email: Some(email(account)),
        name: Some(account.name.clone()),
        status: Some(if closed { AccountStatus::Suspended } else { AccountStatus::Active }),
        state: Some(if closed { AccountState::Suspended } else { AccountState::Active }),
        paths: Some(vec![format!("{}{}/", organization.path(), account.id)]),
        // As AWS has it of the account that an organization begins with.
        joined_method: Some(if invited {
            AccountJoinedMethod::Invited
        } else {
            AccountJoinedMethod::Created
        }),
        joined_timestamp: Some(account.created),
    }
}

/// A page of the accounts.
pub(crate) fn list(
    state: &State,
    organization: &Organization,
    most: Option<i32>,
    token: Option<String>,
) -> Result<Page<ApiAccount>, Fault> {
    let page = page(state.iter::<Account>(), |account| account.id.to_string(), most, token)?;
    let rows = page.rows.into_iter().map(|account| to_api(organization, account));
    Ok(Page { rows: rows.collect(), next: page.next })
}

/// The account with this ID.
pub(crate) fn find(state: &State, id: Option<String>) -> Result<&Account, Fault> {
    let id = id.and_then(|id| id.parse::<AccountId>().ok());
    let account = id.and_then(|id| state.get::<Account>(&id));
    account.map(AsRef::as_ref).ok_or_else(errors::account_not_found)
}

/// Closes an account: nobody signs for it any more, and its instances stop.
///
/// # Errors
/// The caller doesn't manage the organization, or there is no such account, or it is closed or the
/// management account.
pub fn close_account(
    tx: &mut Tx,
    request: &Request,
    input: CloseAccountRequest,
) -> Result<CloseAccountResponse, Fault> {
    let CloseAccountRequest { account_id } = input;
    let management = errors::manager(tx, request)?.management;
    let id = find(tx, account_id)?.id;
    if id == management {
        return Err(errors::management_closed());
    }
    if !membership::close(tx, id) {
        return Err(errors::already_closed());
    }
    Ok(CloseAccountResponse {})
}

/// An account.
///
/// # Errors
/// The caller doesn't manage the organization, or there is no such account.
pub fn describe_account(
    state: &State,
    request: &Request,
    input: DescribeAccountRequest,
) -> Result<DescribeAccountResponse, Fault> {
    let DescribeAccountRequest { account_id } = input;
    let organization = errors::manager(state, request)?;
    let account = find(state, account_id)?;
    Ok(DescribeAccountResponse { account: Some(to_api(organization, account)) })
}

/// All accounts.
///
/// # Errors
/// The caller doesn't manage the organization, or the token is invalid.
pub fn list_accounts(
    state: &State,
    request: &Request,
    input: ListAccountsRequest,
) -> Result<ListAccountsResponse, Fault> {
    let ListAccountsRequest { next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    let page = list(state, organization, max_results, next_token)?;
    Ok(ListAccountsResponse { accounts: Some(page.rows), next_token: page.next })
}
