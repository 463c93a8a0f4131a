//! Issuers of OpenID Connect tokens.

pub mod tags;

use crate::{OidcProvider, Request, errors, tags as tagging};
use shapes::{
    Fault,
    iam::{
        AddClientIDToOpenIDConnectProviderRequest, AddClientIDToOpenIDConnectProviderResponse,
        CreateOpenIDConnectProviderRequest, CreateOpenIDConnectProviderResponse,
        DeleteOpenIDConnectProviderRequest, DeleteOpenIDConnectProviderResponse,
        GetOpenIDConnectProviderRequest, GetOpenIDConnectProviderResponse,
        ListOpenIDConnectProvidersRequest, ListOpenIDConnectProvidersResponse,
        OpenIDConnectProviderListEntry, RemoveClientIDFromOpenIDConnectProviderRequest,
        RemoveClientIDFromOpenIDConnectProviderResponse,
        UpdateOpenIDConnectProviderThumbprintRequest,
        UpdateOpenIDConnectProviderThumbprintResponse,
    },
};
use state::{State, Tx};

/// How many issuers an account may have.
const PER_ACCOUNT: usize = 100;
/// How many audiences an issuer may have.
const MAX_CLIENT_IDS: usize = 100;
/// How many fingerprints an issuer may have.
const MAX_THUMBPRINTS: usize = 5;

/// The provider with this ARN, to be changed and put back.
pub(super) fn take(
    state: &State,
    request: &Request,
    arn: Option<String>,
) -> Result<OidcProvider, Fault> {
    let arn = arn.unwrap_or_default();
    let row = state.get::<OidcProvider>(&arn);
    let row = row.filter(|row| row.account == request.caller.account);
    row.map(|row| OidcProvider::clone(row)).ok_or_else(|| errors::oidc_not_found(arn))
}

fn check_client_ids(ids: &[String]) -> Result<(), Fault> {
    if ids.len() > MAX_CLIENT_IDS {
        return Err(errors::quota("ClientIdsPerOpenIdConnectProvider", MAX_CLIENT_IDS));
    }
    Ok(())
}

fn check_thumbprints(thumbprints: &[String]) -> Result<(), Fault> {
    if thumbprints.len() > MAX_THUMBPRINTS {
        return Err(errors::invalid_input("Thumbprint list must contain fewer than 5 entries."));
    }
    let valid = |text: &String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match thumbprints.iter().find(|text| !valid(text)) {
        Some(text) => Err(errors::invalid_input(format!("Invalid thumbprint {text}"))),
        None => Ok(()),
    }
}

/// The URL without its scheme, if it is one of an issuer: `https`, a host, no query.
fn issuer(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let of_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let of_url = |c: char| c.is_ascii_graphic() && !"?#\"'<>\\^`{}|".contains(c);
    let valid = !host.is_empty() && host.chars().all(of_host) && rest.chars().all(of_url);
    valid.then_some(rest)
}

/// Takes an audience.
///
/// # Errors
/// There is no such provider, or it has as many as it may.
pub fn add_client_id_to_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: AddClientIDToOpenIDConnectProviderRequest,
) -> Result<AddClientIDToOpenIDConnectProviderResponse, Fault> {
    let AddClientIDToOpenIDConnectProviderRequest { open_id_connect_provider_arn, client_id } =
        input;
    let mut row = take(tx, request, open_id_connect_provider_arn)?;
    let id = client_id.unwrap_or_default();
    if !row.client_ids.contains(&id) {
        row.client_ids.push(id);
    }
    check_client_ids(&row.client_ids)?;
    tx.put(row);
    Ok(AddClientIDToOpenIDConnectProviderResponse {})
}

/// Takes an issuer's word.
///
/// # Errors
/// The URL is invalid or known, there are too many audiences or fingerprints, or tags are invalid.
pub fn create_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: CreateOpenIDConnectProviderRequest,
) -> Result<CreateOpenIDConnectProviderResponse, Fault> {
    let CreateOpenIDConnectProviderRequest { url, client_id_list, thumbprint_list, tags } = input;
    let url = url.unwrap_or_default();
    let issuer = issuer(&url);
    let issuer =
        issuer.ok_or_else(|| errors::validation("Invalid Open ID Connect Provider URL"))?;
    let row = OidcProvider {
        account: request.caller.account,
        url: issuer.to_owned(),
        client_ids: client_id_list.unwrap_or_default(),
        thumbprints: thumbprint_list.unwrap_or_default(),
        tags: tagging::new(tags)?,
        created: tx.now(),
    };
    check_client_ids(&row.client_ids)?;
    check_thumbprints(&row.thumbprints)?;
    let arn = row.arn();
    if tx.get::<OidcProvider>(&arn).is_some() {
        return Err(errors::already(format!("Provider with url {url} already exists.")));
    }
    if tx.find::<OidcProvider>("account", row.account).count() >= PER_ACCOUNT {
        return Err(errors::quota("OpenIdConnectProvidersPerAccount", PER_ACCOUNT));
    }
    let tags = tagging::to_api(&row.tags);
    tx.put(row);
    Ok(CreateOpenIDConnectProviderResponse { open_id_connect_provider_arn: Some(arn), tags })
}

/// Takes an issuer's word no longer. One that isn't known is no error, as AWS has it.
///
/// # Errors
/// None.
pub fn delete_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: DeleteOpenIDConnectProviderRequest,
) -> Result<DeleteOpenIDConnectProviderResponse, Fault> {
    let DeleteOpenIDConnectProviderRequest { open_id_connect_provider_arn } = input;
    if let Ok(row) = take(tx, request, open_id_connect_provider_arn) {
        tx.delete::<OidcProvider>(&row.arn());
    }
    Ok(DeleteOpenIDConnectProviderResponse {})
}

/// An issuer.
///
/// # Errors
/// There is no such provider.
pub fn get_open_id_connect_provider(
    state: &State,
    request: &Request,
    input: GetOpenIDConnectProviderRequest,
) -> Result<GetOpenIDConnectProviderResponse, Fault> {
    let GetOpenIDConnectProviderRequest { open_id_connect_provider_arn } = input;
    let row = take(state, request, open_id_connect_provider_arn)?;
    Ok(GetOpenIDConnectProviderResponse {
        url: Some(row.url),
        client_id_list: Some(row.client_ids),
        thumbprint_list: Some(row.thumbprints),
        create_date: Some(row.created),
        tags: tagging::to_api(&row.tags),
    })
}

/// The account's issuers.
///
/// # Errors
/// None.
pub fn list_open_id_connect_providers(
    state: &State,
    request: &Request,
    input: ListOpenIDConnectProvidersRequest,
) -> Result<ListOpenIDConnectProvidersResponse, Fault> {
    let ListOpenIDConnectProvidersRequest {} = input;
    let rows = state.find::<OidcProvider>("account", request.caller.account);
    let rows = rows.map(|row| OpenIDConnectProviderListEntry { arn: Some(row.arn()) });
    Ok(ListOpenIDConnectProvidersResponse { open_id_connect_provider_list: Some(rows.collect()) })
}

/// Takes an audience no longer; one that isn't known is no error.
///
/// # Errors
/// There is no such provider.
pub fn remove_client_id_from_open_id_connect_provider(
    tx: &mut Tx,
    request: &Request,
    input: RemoveClientIDFromOpenIDConnectProviderRequest,
) -> Result<RemoveClientIDFromOpenIDConnectProviderResponse, Fault> {
    let RemoveClientIDFromOpenIDConnectProviderRequest { open_id_connect_provider_arn, client_id } =
        input;
    let mut row = take(tx, request, open_id_connect_provider_arn)?;
    row.client_ids.retain(|id| Some(id) != client_id.as_ref());
    tx.put(row);
    Ok(RemoveClientIDFromOpenIDConnectProviderResponse {})
}

/// Replaces an issuer's fingerprints.
///
/// # Errors
/// There is no such provider, or there are too many.
pub fn update_open_id_connect_provider_thumbprint(
    tx: &mut Tx,
    request: &Request,
    input: UpdateOpenIDConnectProviderThumbprintRequest,
) -> Result<UpdateOpenIDConnectProviderThumbprintResponse, Fault> {
    let UpdateOpenIDConnectProviderThumbprintRequest {
        open_id_connect_provider_arn,
        thumbprint_list,
    } = input;
    let mut row = take(tx, request, open_id_connect_provider_arn)?;
    row.thumbprints = thumbprint_list.unwrap_or_default();
    check_thumbprints(&row.thumbprints)?;
    tx.put(row);
    Ok(UpdateOpenIDConnectProviderThumbprintResponse {})
}

#[cfg(test)]
mod tests {
    use super::issuer;

    #[test]
    fn issuers_are_https_without_a_query() {
        assert_eq!(issuer("https://a.example/b"), Some("a.example/b"));
        assert_eq!(issuer("https://localhost:8443"), Some("localhost:8443"));
        for bad in ["http://a.example", "https://", "https://a b", "https://a/?q", "a.example"] {
            assert_eq!(issuer(bad), None, "{bad}");
        }
    }
}
