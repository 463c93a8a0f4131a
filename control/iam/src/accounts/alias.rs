//! The alias: the name by which an account's users sign in.

use crate::{
    Account, Request, accounts, errors,
    page::{Asked, Page, page},
};
use shapes::{
    Fault,
    iam::{
        CreateAccountAliasRequest, CreateAccountAliasResponse, DeleteAccountAliasRequest,
        DeleteAccountAliasResponse, ListAccountAliasesRequest, ListAccountAliasesResponse,
    },
};
use state::{State, Tx};

/// Sets the alias, in place of one that the account has.
///
/// # Errors
/// It is another account's.
pub fn create_account_alias(
    tx: &mut Tx,
    request: &Request,
    input: CreateAccountAliasRequest,
) -> Result<CreateAccountAliasResponse, Fault> {
    let CreateAccountAliasRequest { account_alias } = input;
    let alias = account_alias.unwrap_or_default();
    if tx.find::<Account>("alias", &alias).next().is_some() {
        let message = format!("The account alias {alias} already exists.");
        return Err(errors::already(message));
    }
    let account = accounts::take(tx, request);
    tx.put(Account { alias: Some(alias), ..account });
    Ok(CreateAccountAliasResponse {})
}

/// Deletes the alias.
///
/// # Errors
/// The account hasn't this one.
pub fn delete_account_alias(
    tx: &mut Tx,
    request: &Request,
    input: DeleteAccountAliasRequest,
) -> Result<DeleteAccountAliasResponse, Fault> {
    let DeleteAccountAliasRequest { account_alias } = input;
    let account = accounts::take(tx, request);
    if account.alias != account_alias {
        let alias = account_alias.unwrap_or_default();
        return Err(errors::no_entity(format!("The account alias {alias} cannot be found.")));
    }
    tx.put(Account { alias: None, ..account });
    Ok(DeleteAccountAliasResponse {})
}

/// The alias, if there is one.
///
/// # Errors
/// The page is invalid.
pub fn list_account_aliases(
    state: &State,
    request: &Request,
    input: ListAccountAliasesRequest,
) -> Result<ListAccountAliasesResponse, Fault> {
    let ListAccountAliasesRequest { marker, max_items } = input;
    let account = state.get::<Account>(&request.caller.account);
    let aliases = account.and_then(|account| account.alias.clone());
    let Page { items, is_truncated, marker } =
        page(aliases, String::clone, Asked { marker, max_items })?;
    Ok(ListAccountAliasesResponse {
        account_aliases: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}
