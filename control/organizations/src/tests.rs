//! Accounts that are asked for, listed and closed.

use crate::{access, accounts, creation, errors, organization, tags};
use iam::{Account, Caller, Organization, Request, access::members::Input};
use shapes::organizations::{
    CloseAccountRequest, CreateAccountFailureReason, CreateAccountRequest, CreateAccountState,
    DescribeCreateAccountStatusRequest, DescribeOrganizationRequest, ListAccountsRequest,
    ListRootsRequest, ListTagsForResourceRequest, SERVICE, Tag, TagResourceRequest,
};
use state::{Effects, State, Tx};
use types::{AccountId, Scope, Timestamp};

fn tx() -> Tx {
    let mut tables = crate::tables();
    tables.extend(iam::tables());
    let now = Timestamp::from_millis(1_700_000_000_000);
    let mut tx = Tx::new(&State::new(&tables), Effects::new(now, [7; 32]));
    Account::ensure(&mut tx, AccountId::DEFAULT, "admin");
    Organization::ensure(&mut tx, AccountId::DEFAULT);
    tx
}

fn request(account: AccountId) -> Request {
    let region = "us-east-1".parse().unwrap();
    Request { caller: Caller::root(account), scope: Scope { account, region } }
}

fn create(tx: &mut Tx, name: &str) -> Result<AccountId, CreateAccountFailureReason> {
    let input = CreateAccountRequest {
        email: Some(format!("{name}@example.com")),
        account_name: Some(name.to_owned()),
        ..CreateAccountRequest::default()
    };
    let manager = request(AccountId::DEFAULT);
    let begun = creation::create_account(tx, &manager, input).unwrap().create_account_status;
    let begun = begun.unwrap();
    assert_eq!((begun.state, begun.account_id), (Some(CreateAccountState::InProgress), None));
    let input = DescribeCreateAccountStatusRequest { create_account_request_id: begun.id };
    let done = creation::describe_create_account_status(tx, &manager, input).unwrap();
    let done = done.create_account_status.unwrap();
    match done.failure_reason {
        Some(reason) => Err(reason),
        None => Ok(done.account_id.unwrap().parse().unwrap()),
    }
}

#[test]
fn an_account_is_made_and_closed_by_the_management_account_alone() {
    let mut tx = tx();
    let id = create(&mut tx, "dev").unwrap();
    assert_eq!(create(&mut tx, "DEV"), Err(CreateAccountFailureReason::EmailAlreadyExists));
    let (manager, member) = (request(AccountId::DEFAULT), request(id));
    let close = |id: AccountId| CloseAccountRequest { account_id: Some(id.to_string()) };
    let code = |fault: shapes::Fault| fault.code.to_string();
    let refused = accounts::close_account(&mut tx, &member, close(id)).unwrap_err();
    assert_eq!(refused, errors::access_denied());
    let refused = accounts::close_account(&mut tx, &manager, close(AccountId::DEFAULT));
    assert_eq!(code(refused.unwrap_err()), "ConstraintViolationException");
    accounts::close_account(&mut tx, &manager, close(id)).unwrap();
    let again = accounts::close_account(&mut tx, &manager, close(id)).unwrap_err();
    assert_eq!(code(again), "AccountAlreadyClosedException");
    let none = accounts::close_account(&mut tx, &manager, close(AccountId::SYSTEM)).unwrap_err();
    assert_eq!(code(none), "AccountNotFoundException");
    let refused = organization::list_roots(&tx, &member, ListRootsRequest::default());
    assert_eq!(refused.unwrap_err(), errors::access_denied());
    let input = DescribeOrganizationRequest::default();
    let shown = organization::describe_organization(&tx, &member, input).unwrap();
    assert_eq!(shown.organization.unwrap().master_account_id.unwrap(), "123456789012");
}

#[test]
fn pages_list_every_account_once() {
    let mut tx = tx();
    for number in 0..45 {
        create(&mut tx, &format!("a{number}")).unwrap();
    }
    let (mut next_token, mut seen, mut pages) = (None, Vec::new(), 0);
    loop {
        let input = ListAccountsRequest { next_token, max_results: None };
        let page = accounts::list_accounts(&tx, &request(AccountId::DEFAULT), input).unwrap();
        seen.extend(page.accounts.unwrap().into_iter().filter_map(|account| account.id));
        pages += 1;
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    let mut once = seen.clone();
    once.dedup();
    assert_eq!((pages, seen.len(), once.len()), (3, 46, 46));
    let bad = ListAccountsRequest { next_token: Some("?".to_owned()), max_results: None };
    let refused = accounts::list_accounts(&tx, &request(AccountId::DEFAULT), bad);
    assert_eq!(refused.unwrap_err().code, "InvalidInputException");
}

#[test]
fn tags_are_kept_and_limited() {
    let mut tx = tx();
    let (id, manager) = (create(&mut tx, "dev").unwrap(), request(AccountId::DEFAULT));
    let tag = |key: String| Tag { key: Some(key), value: Some("v".to_owned()) };
    let put = |tx: &mut Tx, tags: Vec<Tag>| {
        let input = TagResourceRequest { resource_id: Some(id.to_string()), tags: Some(tags) };
        tags::tag_resource(tx, &manager, input)
    };
    put(&mut tx, vec![tag("team".to_owned())]).unwrap();
    assert!(put(&mut tx, vec![tag("aws:x".to_owned())]).is_err());
    assert!(put(&mut tx, (0..50).map(|n| tag(n.to_string())).collect()).is_err());
    let input = ListTagsForResourceRequest { resource_id: Some(id.to_string()), next_token: None };
    let listed = tags::list_tags_for_resource(&tx, &manager, input).unwrap();
    assert_eq!(listed.tags.unwrap(), [tag("team".to_owned())]);
}

#[test]
fn every_operation_is_in_the_table() {
    let tx = tx();
    let input = ListAccountsRequest::default();
    for served in SERVICE.served {
        let checks =
            access::checks(&tx, &request(AccountId::DEFAULT), served.name, Input::new(&input));
        assert!(checks.is_some(), "{} is not in the table", served.name);
    }
}
