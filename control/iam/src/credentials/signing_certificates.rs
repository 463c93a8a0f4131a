//! Signing certificates: X.509 certificates of users.

use crate::{
    Request, UniqueId, User,
    credentials::{status, to_inactive, x509},
    entity, errors,
    named::{ID_ALPHABET, random_text},
    page::{Asked, Page, page},
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        DeleteSigningCertificateRequest, DeleteSigningCertificateResponse,
        ListSigningCertificatesRequest, ListSigningCertificatesResponse,
        SigningCertificate as ApiCertificate, UpdateSigningCertificateRequest,
        UpdateSigningCertificateResponse, UploadSigningCertificateRequest,
        UploadSigningCertificateResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{Scope, Timestamp};

/// How many a user may have.
const PER_USER: usize = 2;

/// A user's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigningCertificate {
    /// 32 letters and digits.
    pub id: String,
    /// Whose it is.
    pub user: UniqueId,
    /// The certificate in PEM.
    pub body: String,
    /// Whether it is switched off.
    pub inactive: bool,
    /// When it was uploaded.
    pub uploaded: Timestamp,
}

impl Row for SigningCertificate {
    const TABLE: &'static str = "iam-signing-certificate";
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("user", &self.user);
    }
}

fn to_api(row: &SigningCertificate, user: &User) -> ApiCertificate {
    ApiCertificate {
        user_name: Some(user.named.name.clone()),
        certificate_id: Some(row.id.clone()),
        certificate_body: Some(row.body.clone()),
        status: status(row.inactive),
        upload_date: Some(row.uploaded),
    }
}

fn take(
    state: &State,
    request: &Request,
    user: Option<&str>,
    id: Option<String>,
) -> Result<SigningCertificate, Fault> {
    let user = entity::user_of(state, request, user)?;
    let id = id.unwrap_or_default();
    let row = state.get::<SigningCertificate>(&id).filter(|row| row.user == user.named.id);
    let row = row.map(|row| SigningCertificate::clone(row));
    row.ok_or_else(|| errors::id_not_found("Certificate", id))
}

/// Deletes a certificate.
///
/// # Errors
/// The user doesn't exist or has no such certificate.
pub fn delete_signing_certificate(
    tx: &mut Tx,
    request: &Request,
    input: DeleteSigningCertificateRequest,
) -> Result<DeleteSigningCertificateResponse, Fault> {
    let DeleteSigningCertificateRequest { user_name, certificate_id } = input;
    let row = take(tx, request, user_name.as_deref(), certificate_id)?;
    tx.delete::<SigningCertificate>(&row.id);
    Ok(DeleteSigningCertificateResponse {})
}

/// A user's certificates.
///
/// # Errors
/// There is no such user, or the page is invalid.
pub fn list_signing_certificates(
    state: &State,
    request: &Request,
    input: ListSigningCertificatesRequest,
) -> Result<ListSigningCertificatesResponse, Fault> {
    let ListSigningCertificatesRequest { user_name, marker, max_items } = input;
    let user = entity::user_of(state, request, user_name.as_deref())?;
    let rows = state.find::<SigningCertificate>("user", &user.named.id);
    let Page { items, is_truncated, marker } =
        page(rows, |row| row.id.clone(), Asked { marker, max_items })?;
    Ok(ListSigningCertificatesResponse {
        certificates: Some(items.into_iter().map(|row| to_api(row, user)).collect()),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Switches a certificate on or off.
///
/// # Errors
/// The user doesn't exist or has no such certificate.
pub fn update_signing_certificate(
    tx: &mut Tx,
    request: &Request,
    input: UpdateSigningCertificateRequest,
) -> Result<UpdateSigningCertificateResponse, Fault> {
    let UpdateSigningCertificateRequest { user_name, certificate_id, status } = input;
    let row = take(tx, request, user_name.as_deref(), certificate_id)?;
    tx.put(SigningCertificate { inactive: to_inactive(status)?, ..row });
    Ok(UpdateSigningCertificateResponse {})
}

/// Gives a user a certificate.
///
/// # Errors
/// There is no such user, the text is no certificate, it is somebody's, or the quota is reached.
pub fn upload_signing_certificate(
    tx: &mut Tx,
    request: &Request,
    input: UploadSigningCertificateRequest,
) -> Result<UploadSigningCertificateResponse, Fault> {
    let UploadSigningCertificateRequest { user_name, certificate_body } = input;
    let user = entity::user_of(tx, request, user_name.as_deref())?.clone();
    let body = certificate_body.unwrap_or_default();
    x509::certificate(&body)?;
    if tx.find::<SigningCertificate>("user", &user.named.id).count() >= PER_USER {
        return Err(errors::quota("CertificatesPerUser", PER_USER));
    }
    if tx.iter::<SigningCertificate>().any(|row| row.body.trim() == body.trim()) {
        return Err(errors::duplicate_certificate());
    }
    let row = SigningCertificate {
        id: random_text(tx, ID_ALPHABET, 32),
        user: user.named.id.clone(),
        body,
        inactive: false,
        uploaded: tx.now(),
    };
    let answer = to_api(&row, &user);
    tx.put(row);
    Ok(UploadSigningCertificateResponse { certificate: Some(answer) })
}
