//! The organization itself: one root, and every account directly below it.

use crate::{accounts, errors, page::page};
use iam::{Account, Organization, Request};
use shapes::{
    Fault,
    organizations::{
        Child, ChildType, DescribeOrganizationRequest, DescribeOrganizationResponse,
        ListAccountsForParentRequest, ListAccountsForParentResponse, ListChildrenRequest,
        ListChildrenResponse, ListOrganizationalUnitsForParentRequest,
        ListOrganizationalUnitsForParentResponse, ListParentsRequest, ListParentsResponse,
        ListRootsRequest, ListRootsResponse, Organization as ApiOrganization,
        OrganizationFeatureSet, Parent, ParentType, Root,
    },
};
use state::State;
use types::AccountId;

/// What an account that never said otherwise is reached by.
pub(crate) fn email(account: &Account) -> String {
    account.email.clone().unwrap_or_else(|| format!("{}@accounts.fogbank.internal", account.id))
}

/// The organization, for each of its accounts.
///
/// # Errors
/// There is none.
pub fn describe_organization(
    state: &State,
    _: &Request,
    input: DescribeOrganizationRequest,
) -> Result<DescribeOrganizationResponse, Fault> {
    let DescribeOrganizationRequest {} = input;
    let organization = errors::member(state)?;
    let management = state.get::<Account>(&organization.management);
    Ok(DescribeOrganizationResponse {
        organization: Some(ApiOrganization {
            id: Some(organization.id.clone()),
            arn: Some(organization.own_arn()),
            feature_set: Some(OrganizationFeatureSet::All),
            master_account_arn: Some(accounts::arn(organization, organization.management)),
            master_account_id: Some(organization.management.to_string()),
            master_account_email: management.map(|account| email(account)),
            available_policy_types: Some(Vec::new()),
        }),
    })
}

/// The one root.
///
/// # Errors
/// The caller doesn't manage the organization.
pub fn list_roots(
    state: &State,
    request: &Request,
    input: ListRootsRequest,
) -> Result<ListRootsResponse, Fault> {
    let ListRootsRequest { next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    let root = Root {
        id: Some(organization.root.clone()),
        arn: Some(organization.arn("root", &organization.root)),
        name: Some("Root".to_owned()),
        policy_types: Some(Vec::new()),
    };
    let key = |root: &Root| root.id.clone().unwrap_or_default();
    let page = page([root].into_iter(), key, max_results, next_token)?;
    Ok(ListRootsResponse { roots: Some(page.rows), next_token: page.next })
}

/// What an account is in: the root.
///
/// # Errors
/// The caller doesn't manage the organization, or there is no such account.
pub fn list_parents(
    state: &State,
    request: &Request,
    input: ListParentsRequest,
) -> Result<ListParentsResponse, Fault> {
    let ListParentsRequest { child_id, next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    let child = child_id.and_then(|id| id.parse::<AccountId>().ok());
    let child = child.and_then(|id| state.get::<Account>(&id));
    child.ok_or_else(errors::child_not_found)?;
    let parent = Parent { id: Some(organization.root.clone()), r#type: Some(ParentType::Root) };
    let key = |parent: &Parent| parent.id.clone().unwrap_or_default();
    let page = page([parent].into_iter(), key, max_results, next_token)?;
    Ok(ListParentsResponse { parents: Some(page.rows), next_token: page.next })
}

fn check_parent(organization: &Organization, parent: Option<String>) -> Result<(), Fault> {
    if parent.as_ref() == Some(&organization.root) {
        Ok(())
    } else {
        Err(errors::parent_not_found())
    }
}

/// What is below the root: accounts, and no organizational units.
///
/// # Errors
/// The caller doesn't manage the organization, or the parent isn't its root.
pub fn list_children(
    state: &State,
    request: &Request,
    input: ListChildrenRequest,
) -> Result<ListChildrenResponse, Fault> {
    let ListChildrenRequest { parent_id, child_type, next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    check_parent(organization, parent_id)?;
    let wanted = child_type == Some(ChildType::Account);
    let accounts = state.iter::<Account>().filter(|_| wanted);
    let page = page(accounts, |account| account.id.to_string(), max_results, next_token)?;
    let children = page.rows.into_iter().map(|account| Child {
        id: Some(account.id.to_string()),
        r#type: Some(ChildType::Account),
    });
    Ok(ListChildrenResponse { children: Some(children.collect()), next_token: page.next })
}

/// The accounts below the root: all.
///
/// # Errors
/// The caller doesn't manage the organization, or the parent isn't its root.
pub fn list_accounts_for_parent(
    state: &State,
    request: &Request,
    input: ListAccountsForParentRequest,
) -> Result<ListAccountsForParentResponse, Fault> {
    let ListAccountsForParentRequest { parent_id, next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    check_parent(organization, parent_id)?;
    let page = accounts::list(state, organization, max_results, next_token)?;
    Ok(ListAccountsForParentResponse { accounts: Some(page.rows), next_token: page.next })
}

/// The organizational units below the root: none.
///
/// # Errors
/// The caller doesn't manage the organization, or the parent isn't its root.
pub fn list_organizational_units_for_parent(
    state: &State,
    request: &Request,
    input: ListOrganizationalUnitsForParentRequest,
) -> Result<ListOrganizationalUnitsForParentResponse, Fault> {
    let ListOrganizationalUnitsForParentRequest { parent_id, next_token, max_results } = input;
    let organization = errors::manager(state, request)?;
    check_parent(organization, parent_id)?;
    let none = page(std::iter::empty(), |_| String::new(), max_results, next_token)?;
    Ok(ListOrganizationalUnitsForParentResponse {
        organizational_units: Some(none.rows),
        next_token: none.next,
    })
}
