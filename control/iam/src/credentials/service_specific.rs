//! Service-specific credentials: user names and passwords for services that know no signatures.

use crate::{
    Request, UniqueId, User,
    credentials::{status, to_inactive},
    entity, errors,
    named::random_text,
    page::{Asked, Page, page},
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        CreateServiceSpecificCredentialRequest, CreateServiceSpecificCredentialResponse,
        DeleteServiceSpecificCredentialRequest, DeleteServiceSpecificCredentialResponse,
        ListServiceSpecificCredentialsRequest, ListServiceSpecificCredentialsResponse,
        ResetServiceSpecificCredentialRequest, ResetServiceSpecificCredentialResponse,
        ServiceSpecificCredential, ServiceSpecificCredentialMetadata,
        UpdateServiceSpecificCredentialRequest, UpdateServiceSpecificCredentialResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{AccountId, Scope, Timestamp};

/// How many a user may have for one service.
const PER_SERVICE: usize = 2;
/// The services that take them.
const SERVICES: &[&str] =
    &["bedrock.amazonaws.com", "cassandra.amazonaws.com", "codecommit.amazonaws.com"];
/// The one that takes a secret instead of a name and a password.
const WITH_SECRET: &str = "bedrock.amazonaws.com";
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A user's credential for one service.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceCredential {
    /// `ACCA…`.
    pub id: UniqueId,
    /// The owning account.
    pub account: AccountId,
    /// Whose it is.
    pub user: UniqueId,
    /// The service's principal.
    pub service: String,
    /// The name that the service knows the user by.
    pub user_name: String,
    /// The password, or the secret.
    pub password: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; none = never.
    pub expires: Option<Timestamp>,
    /// Whether it is switched off.
    pub inactive: bool,
}

impl std::fmt::Debug for ServiceCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("ServiceCredential")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl Row for ServiceCredential {
    const TABLE: &'static str = "iam-service-credential";
    const SEALED: bool = true;
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
        add("user", &self.user);
    }
}

/// A new password.
fn password(tx: &mut Tx) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    random_text(tx, LETTERS, 43) + "="
}

/// The credential with its password, which is shown when it is set.
fn to_api(row: &ServiceCredential, user: &str) -> ServiceSpecificCredential {
    let secret = row.service == WITH_SECRET;
    let (name, password) = (Some(row.user_name.clone()), Some(row.password.clone()));
    ServiceSpecificCredential {
        create_date: Some(row.created),
        expiration_date: row.expires,
        service_name: Some(row.service.clone()),
        service_user_name: name.clone().filter(|_| !secret),
        service_password: password.clone().filter(|_| !secret),
        service_credential_alias: name.filter(|_| secret),
        service_credential_secret: password.filter(|_| secret),
        service_specific_credential_id: Some(row.id.to_string()),
        user_name: Some(user.to_owned()),
        status: status(row.inactive),
    }
}

fn take(
    state: &State,
    request: &Request,
    user: Option<&str>,
    id: Option<String>,
) -> Result<(ServiceCredential, String), Fault> {
    let user = entity::user_of(state, request, user)?;
    let id = id.unwrap_or_default();
    let row = state.get::<ServiceCredential>(&UniqueId::from_text(&id));
    let row = row.filter(|row| row.user == user.named.id);
    let row = row.ok_or_else(|| errors::id_not_found("Service Specific Credential", id))?;
    Ok((ServiceCredential::clone(row), user.named.name.clone()))
}

/// Makes a credential for a service.
///
/// # Errors
/// There is no such user, the service takes none, or the quota is reached.
pub fn create_service_specific_credential(
    tx: &mut Tx,
    request: &Request,
    input: CreateServiceSpecificCredentialRequest,
) -> Result<CreateServiceSpecificCredentialResponse, Fault> {
    let CreateServiceSpecificCredentialRequest { user_name, service_name, credential_age_days } =
        input;
    let user = entity::take::<User>(tx, request, user_name.as_deref())?;
    let service = service_name.unwrap_or_default();
    if !SERVICES.contains(&service.as_str()) {
        return Err(errors::no_service_credentials(service));
    }
    if credential_age_days.is_some() && service != WITH_SECRET {
        let message = format!("CredentialAgeDays is not supported for {service}");
        return Err(errors::invalid_input(message));
    }
    let id = &user.named.id;
    let same = tx.find::<ServiceCredential>("user", id).filter(|row| row.service == service);
    let number = same.count();
    if number >= PER_SERVICE {
        return Err(errors::quota("ServiceSpecificCredentialsPerUser", PER_SERVICE));
    }
    let now = tx.now();
    let digits = random_text(tx, b"0123456789abcdef", 4);
    let row = ServiceCredential {
        id: UniqueId::new(tx, "ACCA"),
        account: user.named.account,
        user: id.clone(),
        user_name: match number {
            0 => format!("{}-at-{}", user.named.name, user.named.account),
            _ => format!("{}+{digits}-at-{}", user.named.name, user.named.account),
        },
        service,
        password: password(tx),
        created: now,
        expires: credential_age_days.map(|days| now.plus_millis(DAY_MS * i64::from(days))),
        inactive: false,
    };
    let answer = to_api(&row, &user.named.name);
    tx.put(row);
    Ok(CreateServiceSpecificCredentialResponse { service_specific_credential: Some(answer) })
}

/// Deletes a credential.
///
/// # Errors
/// The user doesn't exist or has no such credential.
pub fn delete_service_specific_credential(
    tx: &mut Tx,
    request: &Request,
    input: DeleteServiceSpecificCredentialRequest,
) -> Result<DeleteServiceSpecificCredentialResponse, Fault> {
    let DeleteServiceSpecificCredentialRequest { user_name, service_specific_credential_id } =
        input;
    let (row, _) = take(tx, request, user_name.as_deref(), service_specific_credential_id)?;
    tx.delete::<ServiceCredential>(&row.id);
    Ok(DeleteServiceSpecificCredentialResponse {})
}

/// A user's credentials, or all of the account, without their passwords.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_service_specific_credentials(
    state: &State,
    request: &Request,
    input: ListServiceSpecificCredentialsRequest,
) -> Result<ListServiceSpecificCredentialsResponse, Fault> {
    let ListServiceSpecificCredentialsRequest {
        user_name,
        service_name,
        all_users,
        marker,
        max_items,
    } = input;
    let rows = if all_users == Some(true) && user_name.is_none() {
        let rows = state.find::<ServiceCredential>("account", request.caller.account);
        rows.collect::<Vec<_>>()
    } else {
        let user = entity::user_of(state, request, user_name.as_deref())?;
        state.find::<ServiceCredential>("user", &user.named.id).collect()
    };
    let rows = rows.into_iter();
    let rows = rows.filter(|row| service_name.as_ref().is_none_or(|name| *name == row.service));
    let Page { items, is_truncated, marker } =
        page(rows, |row| row.id.to_string(), Asked { marker, max_items })?;
    let rows = items.into_iter().map(|row| {
        let user = state.get::<User>(&row.user).map(|user| user.named.name.clone());
        let secret = row.service == WITH_SECRET;
        let name = Some(row.user_name.clone());
        ServiceSpecificCredentialMetadata {
            user_name: user,
            status: status(row.inactive),
            service_user_name: name.clone().filter(|_| !secret),
            service_credential_alias: name.filter(|_| secret),
            create_date: Some(row.created),
            expiration_date: row.expires,
            service_specific_credential_id: Some(row.id.to_string()),
            service_name: Some(row.service.clone()),
        }
    });
    Ok(ListServiceSpecificCredentialsResponse {
        service_specific_credentials: Some(rows.collect()),
        marker,
        is_truncated: Some(is_truncated),
    })
}

/// Gives a credential a new password.
///
/// # Errors
/// The user doesn't exist or has no such credential.
pub fn reset_service_specific_credential(
    tx: &mut Tx,
    request: &Request,
    input: ResetServiceSpecificCredentialRequest,
) -> Result<ResetServiceSpecificCredentialResponse, Fault> {
    let ResetServiceSpecificCredentialRequest { user_name, service_specific_credential_id } = input;
    let (mut row, user) = take(tx, request, user_name.as_deref(), service_specific_credential_id)?;
    row.password = password(tx);
    let answer = to_api(&row, &user);
    tx.put(row);
    Ok(ResetServiceSpecificCredentialResponse { service_specific_credential: Some(answer) })
}

/// Switches a credential on or off.
///
/// # Errors
/// The user doesn't exist or has no such credential.
pub fn update_service_specific_credential(
    tx: &mut Tx,
    request: &Request,
    input: UpdateServiceSpecificCredentialRequest,
) -> Result<UpdateServiceSpecificCredentialResponse, Fault> {
    let UpdateServiceSpecificCredentialRequest {
        user_name,
        service_specific_credential_id,
        status,
    } = input;
    let (row, _) = take(tx, request, user_name.as_deref(), service_specific_credential_id)?;
    tx.put(ServiceCredential { inactive: to_inactive(status)?, ..row });
    Ok(UpdateServiceSpecificCredentialResponse {})
}
