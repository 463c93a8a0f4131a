//! SAML 2.0 identity providers.

pub mod tags;

use crate::{Request, SamlProvider, errors, tags as tagging};
use quick_xml::{Reader, events::Event};
use shapes::{
    Fault,
    iam::{
        CreateSAMLProviderRequest, CreateSAMLProviderResponse, DeleteSAMLProviderRequest,
        DeleteSAMLProviderResponse, GetSAMLProviderRequest, GetSAMLProviderResponse,
        ListSAMLProvidersRequest, ListSAMLProvidersResponse, SAMLProviderListEntry,
        UpdateSAMLProviderRequest, UpdateSAMLProviderResponse,
    },
};
use state::{State, Tx};
use types::Timestamp;

/// How many providers an account may have.
const PER_ACCOUNT: usize = 100;
/// How long a document is good that doesn't say: a hundred years.
const USUAL_VALIDITY_MS: i64 = 36_525 * 24 * 60 * 60 * 1000;

/// The provider with this ARN, to be changed and put back.
pub(super) fn take(
    state: &State,
    request: &Request,
    arn: Option<String>,
) -> Result<SamlProvider, Fault> {
    let arn = arn.unwrap_or_default();
    let row = state.get::<SamlProvider>(&arn);
    let row = row.filter(|row| row.account == request.caller.account);
    row.map(|row| SamlProvider::clone(row)).ok_or_else(|| errors::saml_not_found(arn))
}

/// Checks that a text is a provider's metadata, and gives until when it says that it is good.
fn read(metadata: &str) -> Result<Option<Timestamp>, Fault> {
    let unreadable = || errors::invalid_input("Could not parse metadata");
    let mut reader = Reader::from_str(metadata);
    let mut valid_until = None;
    let mut entity = false;
    let mut depth = 0_u32;
    loop {
        match reader.read_event().map_err(|_| unreadable())? {
            Event::Start(start) if depth == 0 => {
                entity = start.local_name().as_ref() == "EntityDescriptor";
                let attribute = start.try_get_attribute("validUntil").map_err(|_| unreadable())?;
                let text = attribute.map(|at| at.value.into_owned());
                valid_until = text.and_then(|text| Timestamp::parse(&text).ok());
                depth += 1;
            }
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof => break,
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    if entity && depth == 0 { Ok(valid_until) } else { Err(unreadable()) }
}

/// Takes a provider's word.
///
/// # Errors
/// There is one of this name, the metadata can't be read, or tags are invalid.
pub fn create_saml_provider(
    tx: &mut Tx,
    request: &Request,
    input: CreateSAMLProviderRequest,
) -> Result<CreateSAMLProviderResponse, Fault> {
    let CreateSAMLProviderRequest {
        saml_metadata_document,
        name,
        tags,
        assertion_encryption_mode,
        add_private_key,
    } = input;
    if assertion_encryption_mode.is_some() {
        return Err(errors::unsupported("AssertionEncryptionMode"));
    }
    if add_private_key.is_some() {
        return Err(errors::unsupported("AddPrivateKey"));
    }
    let row = SamlProvider {
        account: request.caller.account,
        name: name.unwrap_or_default(),
        metadata: saml_metadata_document.unwrap_or_default(),
        tags: tagging::new(tags)?,
        created: tx.now(),
    };
    read(&row.metadata)?;
    let arn = row.arn();
    if tx.get::<SamlProvider>(&arn).is_some() {
        return Err(errors::exists("SAMLProvider", &row.name));
    }
    if tx.find::<SamlProvider>("account", row.account).count() >= PER_ACCOUNT {
        return Err(errors::quota("SAMLProvidersPerAccount", PER_ACCOUNT));
    }
    let tags = tagging::to_api(&row.tags);
    tx.put(row);
    Ok(CreateSAMLProviderResponse { saml_provider_arn: Some(arn), tags })
}

/// Takes a provider's word no longer.
///
/// # Errors
/// There is no such provider.
pub fn delete_saml_provider(
    tx: &mut Tx,
    request: &Request,
    input: DeleteSAMLProviderRequest,
) -> Result<DeleteSAMLProviderResponse, Fault> {
    let DeleteSAMLProviderRequest { saml_provider_arn } = input;
    let row = take(tx, request, saml_provider_arn)?;
    tx.delete::<SamlProvider>(&row.arn());
    Ok(DeleteSAMLProviderResponse {})
}

/// A provider with its metadata.
///
/// # Errors
/// There is no such provider.
pub fn get_saml_provider(
    state: &State,
    request: &Request,
    input: GetSAMLProviderRequest,
) -> Result<GetSAMLProviderResponse, Fault> {
    let GetSAMLProviderRequest { saml_provider_arn } = input;
    let row = take(state, request, saml_provider_arn)?;
    Ok(GetSAMLProviderResponse {
        valid_until: Some(valid_until(&row)),
        create_date: Some(row.created),
        tags: tagging::to_api(&row.tags),
        saml_metadata_document: Some(row.metadata),
        ..GetSAMLProviderResponse::default()
    })
}

/// Until when a provider's metadata is good.
fn valid_until(row: &SamlProvider) -> Timestamp {
    let stated = read(&row.metadata).ok().flatten();
    stated.unwrap_or_else(|| row.created.plus_millis(USUAL_VALIDITY_MS))
}

/// The account's providers.
///
/// # Errors
/// None.
pub fn list_saml_providers(
    state: &State,
    request: &Request,
    input: ListSAMLProvidersRequest,
) -> Result<ListSAMLProvidersResponse, Fault> {
    let ListSAMLProvidersRequest {} = input;
    let rows = state.find::<SamlProvider>("account", request.caller.account);
    let rows = rows.map(|row| SAMLProviderListEntry {
        arn: Some(row.arn()),
        valid_until: Some(valid_until(row)),
        create_date: Some(row.created),
    });
    Ok(ListSAMLProvidersResponse { saml_provider_list: Some(rows.collect()) })
}

/// Replaces a provider's metadata.
///
/// # Errors
/// There is no such provider, or the metadata can't be read.
pub fn update_saml_provider(
    tx: &mut Tx,
    request: &Request,
    input: UpdateSAMLProviderRequest,
) -> Result<UpdateSAMLProviderResponse, Fault> {
    let UpdateSAMLProviderRequest {
        saml_metadata_document,
        saml_provider_arn,
        assertion_encryption_mode,
        add_private_key,
        remove_private_key,
    } = input;
    if assertion_encryption_mode.is_some() {
        return Err(errors::unsupported("AssertionEncryptionMode"));
    }
    if add_private_key.is_some() {
        return Err(errors::unsupported("AddPrivateKey"));
    }
    if remove_private_key.is_some() {
        return Err(errors::unsupported("RemovePrivateKey"));
    }
    let mut row = take(tx, request, saml_provider_arn)?;
    if let Some(metadata) = saml_metadata_document {
        read(&metadata)?;
        row.metadata = metadata;
    }
    let arn = row.arn();
    tx.put(row);
    Ok(UpdateSAMLProviderResponse { saml_provider_arn: Some(arn) })
}
