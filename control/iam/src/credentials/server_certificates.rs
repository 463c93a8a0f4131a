//! Server certificates: what load balancers show their clients.

use crate::{
    Named, Request,
    credentials::x509,
    entity::{self, Entity},
    errors,
    page::{Asked, Page},
    tags as tagging,
};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        DeleteServerCertificateRequest, DeleteServerCertificateResponse,
        GetServerCertificateRequest, GetServerCertificateResponse,
        ListServerCertificateTagsRequest, ListServerCertificateTagsResponse,
        ListServerCertificatesRequest, ListServerCertificatesResponse,
        ServerCertificate as ApiCertificate, ServerCertificateMetadata,
        TagServerCertificateRequest, TagServerCertificateResponse, UntagServerCertificateRequest,
        UntagServerCertificateResponse, UpdateServerCertificateRequest,
        UpdateServerCertificateResponse, UploadServerCertificateRequest,
        UploadServerCertificateResponse,
    },
};
use state::{Row, State, Tx};
use std::fmt::Display;
use types::{Scope, Tags, Timestamp};

use crate::UniqueId;

/// A certificate with its private key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerCertificate {
    /// Path, name, `ASCA…`; made when it was uploaded.
    pub named: Named,
    /// The certificate in PEM.
    pub body: String,
    /// The certificates of who signed it, in PEM.
    pub chain: Option<String>,
    /// The private key in PEM; no answer has it.
    pub private_key: String,
    /// When the certificate ends.
    pub expires: Timestamp,
    /// Its tags.
    pub tags: Tags,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A log must not hold a secret.
        f.debug_struct("ServerCertificate").field("named", &self.named).finish_non_exhaustive()
    }
}

impl Row for ServerCertificate {
    const TABLE: &'static str = "iam-server-certificate";
    const SEALED: bool = true;
    type Key = UniqueId;
    fn key(&self) -> UniqueId {
        self.named.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.named.account);
        add("name", &self.named.place());
    }
}

impl Entity for ServerCertificate {
    const KIND: &'static str = "Server Certificate";
    const QUOTA: (&'static str, usize) = ("ServerCertificatesPerAccount", 20);
    fn named(&self) -> &Named {
        &self.named
    }
    fn exists(name: &str) -> Fault {
        errors::already(format!("The Server Certificate with name {name} already exists."))
    }
}

impl ServerCertificate {
    fn to_api(&self) -> ServerCertificateMetadata {
        ServerCertificateMetadata {
            path: Some(self.named.path.clone()),
            server_certificate_name: Some(self.named.name.clone()),
            server_certificate_id: Some(self.named.id.to_string()),
            arn: Some(self.named.arn("server-certificate")),
            upload_date: Some(self.named.created),
            expiration: Some(self.expires),
        }
    }
}

/// Deletes a certificate.
///
/// # Errors
/// There is no such certificate.
pub fn delete_server_certificate(
    tx: &mut Tx,
    request: &Request,
    input: DeleteServerCertificateRequest,
) -> Result<DeleteServerCertificateResponse, Fault> {
    let DeleteServerCertificateRequest { server_certificate_name: name } = input;
    let row = entity::take::<ServerCertificate>(tx, request, name.as_deref())?;
    tx.delete::<ServerCertificate>(&row.named.id);
    Ok(DeleteServerCertificateResponse {})
}

/// A certificate, without its private key.
///
/// # Errors
/// There is no such certificate.
pub fn get_server_certificate(
    state: &State,
    request: &Request,
    input: GetServerCertificateRequest,
) -> Result<GetServerCertificateResponse, Fault> {
    let GetServerCertificateRequest { server_certificate_name: name } = input;
    let row = entity::find::<ServerCertificate>(state, request.caller.account, name.as_deref())?;
    Ok(GetServerCertificateResponse {
        server_certificate: Some(ApiCertificate {
            server_certificate_metadata: Some(row.to_api()),
            certificate_body: Some(row.body.clone()),
            certificate_chain: row.chain.clone(),
            tags: tagging::to_api(&row.tags),
        }),
    })
}

/// A page of the tags.
///
/// # Errors
/// There is no such certificate, or the page is invalid.
pub fn list_server_certificate_tags(
    state: &State,
    request: &Request,
    input: ListServerCertificateTagsRequest,
) -> Result<ListServerCertificateTagsResponse, Fault> {
    let ListServerCertificateTagsRequest { server_certificate_name: name, marker, max_items } =
        input;
    let row = entity::find::<ServerCertificate>(state, request.caller.account, name.as_deref())?;
    let Page { items, is_truncated, marker } =
        tagging::list(&row.tags, Asked { marker, max_items })?;
    Ok(ListServerCertificateTagsResponse {
        tags: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// The account's certificates.
///
/// # Errors
/// The page is invalid.
pub fn list_server_certificates(
    state: &State,
    request: &Request,
    input: ListServerCertificatesRequest,
) -> Result<ListServerCertificatesResponse, Fault> {
    let ListServerCertificatesRequest { path_prefix, marker, max_items } = input;
    let asked = Asked { marker, max_items };
    let Page { items, is_truncated, marker } =
        entity::list::<ServerCertificate>(state, request, path_prefix.as_deref(), asked)?;
    let rows = items.into_iter().map(ServerCertificate::to_api).collect();
    Ok(ListServerCertificatesResponse {
        server_certificate_metadata_list: Some(rows),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// Adds tags, in place of those with the same keys.
///
/// # Errors
/// There is no such certificate, or tags are invalid.
pub fn tag_server_certificate(
    tx: &mut Tx,
    request: &Request,
    input: TagServerCertificateRequest,
) -> Result<TagServerCertificateResponse, Fault> {
    let TagServerCertificateRequest { server_certificate_name: name, tags } = input;
    let mut row = entity::take::<ServerCertificate>(tx, request, name.as_deref())?;
    tagging::add(&mut row.tags, tags)?;
    tx.put(row);
    Ok(TagServerCertificateResponse {})
}

/// Removes tags.
///
/// # Errors
/// There is no such certificate.
pub fn untag_server_certificate(
    tx: &mut Tx,
    request: &Request,
    input: UntagServerCertificateRequest,
) -> Result<UntagServerCertificateResponse, Fault> {
    let UntagServerCertificateRequest { server_certificate_name: name, tag_keys } = input;
    let mut row = entity::take::<ServerCertificate>(tx, request, name.as_deref())?;
    tagging::remove(&mut row.tags, tag_keys);
    tx.put(row);
    Ok(UntagServerCertificateResponse {})
}

/// Renames a certificate or moves it to another path.
///
/// # Errors
/// There is no such certificate, or the new name is taken.
pub fn update_server_certificate(
    tx: &mut Tx,
    request: &Request,
    input: UpdateServerCertificateRequest,
) -> Result<UpdateServerCertificateResponse, Fault> {
    let UpdateServerCertificateRequest {
        server_certificate_name,
        new_path,
        new_server_certificate_name,
    } = input;
    let name = server_certificate_name.as_deref();
    let mut row = entity::take::<ServerCertificate>(tx, request, name)?;
    entity::rename::<ServerCertificate>(tx, &mut row.named, new_server_certificate_name, new_path)?;
    tx.put(row);
    Ok(UpdateServerCertificateResponse {})
}

/// Keeps a certificate with its private key.
///
/// # Errors
/// The name is taken, the texts are no certificates, the key isn't the certificate's, tags are
/// invalid, or the quota is reached.
pub fn upload_server_certificate(
    tx: &mut Tx,
    request: &Request,
    input: UploadServerCertificateRequest,
) -> Result<UploadServerCertificateResponse, Fault> {
    let UploadServerCertificateRequest {
        path,
        server_certificate_name,
        certificate_body,
        private_key,
        certificate_chain,
        tags,
    } = input;
    let account = request.caller.account;
    let name = server_certificate_name.unwrap_or_default();
    entity::check_new::<ServerCertificate>(tx, account, &name)?;
    let body = certificate_body.unwrap_or_default();
    let private_key = private_key.unwrap_or_default();
    let read = x509::certificate(&body)?;
    x509::check_key(&read, &private_key)?;
    if let Some(chain) = &certificate_chain {
        x509::check_chain(chain)?;
    }
    let tags = tagging::new(tags)?;
    let row = ServerCertificate {
        named: Named::new(tx, account, "ASCA", path, name),
        body,
        chain: certificate_chain,
        private_key,
        expires: read.expires,
        tags,
    };
    let (answer, tags) = (row.to_api(), tagging::to_api(&row.tags));
    tx.put(row);
    Ok(UploadServerCertificateResponse { server_certificate_metadata: Some(answer), tags })
}
