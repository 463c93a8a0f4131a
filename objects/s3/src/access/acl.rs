//! Access control lists: grants of permissions to accounts and to S3's groups, as they are given
//! (canned, by header, as a document), kept and evaluated.

use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The most grants of one list.
pub const MAX_GRANTS: usize = 100;

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// The account by which AWS's image service reads bundles.
const AWS_EXEC: &str = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c";

/// An account as lists name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The canonical user ID: 64 hexadecimal digits.
    pub id: String,
    pub display_name: Option<String>,
}

impl Owner {
    /// The owner of a bucket or an object.
    #[must_use]
    pub fn of(owner: &crate::store::Owner) -> Self {
        Self {
            id: owner.canonical_id.clone(),
            display_name: Some(owner.display_name.clone()).filter(|name| !name.is_empty()),
        }
    }

    /// The owner as the API shows it.
    #[must_use]
    pub fn to_api(&self) -> dto::Owner {
        dto::Owner { id: Some(self.id.clone()), display_name: self.display_name.clone() }
    }
}

/// To whom a permission is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grantee {
    User(Owner),
    AllUsers,
    AuthenticatedUsers,
    LogDelivery,
}

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    FullControl,
    Read,
    Write,
    ReadAcp,
    WriteAcp,
}

impl Permission {
    /// S3's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullControl => "FULL_CONTROL",
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
        }
    }
}

impl FromStr for Permission {
    type Err = S3Error;

    fn from_str(name: &str) -> S3Result<Self> {
        [Self::FullControl, Self::Read, Self::Write, Self::ReadAcp, Self::WriteAcp]
            .into_iter()
            .find(|permission| permission.as_str() == name)
            .ok_or_else(malformed)
    }
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub grantee: Grantee,
    pub permission: Permission,
}

/// A list, of a bucket or an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    pub owner: Owner,
    pub grants: Vec<Grant>,
}

/// The caller, as far as lists see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer<'a> {
    Anonymous,
    /// By canonical user ID.
    Account(&'a str),
}

/// Of what a list is: this decides which canned lists there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Bucket,
    Object,
}

impl Acl {
    /// The list of what nobody else may touch.
    #[must_use]
    pub fn private(owner: Owner) -> Self {
        let grants = vec![full_control(owner.clone())];
        Self { owner, grants }
    }

    /// A canned list by its name.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that there isn't.
    pub fn canned(name: &str, of: Of, owner: Owner, bucket_owner: &Owner) -> S3Result<Self> {
        let mut acl = Self::private(owner);
        let mut grant = |grantee, permission| acl.grants.push(Grant { grantee, permission });
        let others = acl.owner.id != bucket_owner.id;
        match (name, of) {
            ("private", _) => {}
            ("public-read", _) => grant(Grantee::AllUsers, Permission::Read),
            ("public-read-write", _) => {
                grant(Grantee::AllUsers, Permission::Read);
                grant(Grantee::AllUsers, Permission::Write);
            }
            ("authenticated-read", _) => grant(Grantee::AuthenticatedUsers, Permission::Read),
            ("aws-exec-read", _) => {
                let owner = Owner { id: AWS_EXEC.to_owned(), display_name: None };
                grant(Grantee::User(owner), Permission::Read);
            }
            ("log-delivery-write", Of::Bucket) => {
                grant(Grantee::LogDelivery, Permission::Write);
                grant(Grantee::LogDelivery, Permission::ReadAcp);
            }
            ("bucket-owner-read", Of::Object) if others => {
                grant(Grantee::User(bucket_owner.clone()), Permission::Read);
            }
            ("bucket-owner-full-control", Of::Object) if others => {
                grant(Grantee::User(bucket_owner.clone()), Permission::FullControl);
            }
            // S3 takes both names for a bucket, too, and ignores them.
            ("bucket-owner-read" | "bucket-owner-full-control", _) => {}
            _ => return Err(S3Error::new(S3ErrorCode::InvalidArgument)),
        }
        Ok(acl)
    }

    /// A list from a document.
    ///
    /// # Errors
    /// `MalformedACLError`, `InvalidArgument`, `UnresolvableGrantByEmailAddress`.
    pub fn from_api(document: dto::AccessControlPolicy, owner: &Owner) -> S3Result<Self> {
        let named = document.owner.and_then(|owner| owner.id).ok_or_else(malformed)?;
        if named != owner.id {
            return Err(S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied"));
        }
        let given = document.grants.unwrap_or_default();
        if given.len() > MAX_GRANTS {
            return Err(malformed());
        }
        let mut grants = Vec::with_capacity(given.len());
        for grant in given {
            let grantee = grantee_from_api(grant.grantee.ok_or_else(malformed)?)?;
            let permission = grant.permission.ok_or_else(malformed)?.as_str().parse()?;
            grants.push(Grant { grantee, permission });
        }
        Ok(Self { owner: owner.clone(), grants })
    }

    /// The list as an object's row keeps it.
    ///
    /// # Errors
    /// It can't be encoded, which is a fault of ours.
    pub fn to_text(&self) -> S3Result<String> {
        serde_json::to_string(self).map_err(S3Error::internal_error)
    }

    /// The list that a row keeps.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The grants as the API shows them.
    #[must_use]
    pub fn grants_to_api(&self) -> Vec<dto::Grant> {
        self.grants
            .iter()
            .map(|grant| dto::Grant {
                grantee: Some(grantee_to_api(&grant.grantee)),
                permission: Some(dto::Permission::from_static(grant.permission.as_str())),
            })
            .collect()
    }

    /// Whether the list gives a permission to a caller. Under `ignore_public`, grants to everybody
    /// count for nothing.
    #[must_use]
    pub fn allows(&self, viewer: Viewer<'_>, permission: Permission, ignore_public: bool) -> bool {
        self.grants.iter().any(|grant| {
            let given = matches!(grant.permission, Permission::FullControl)
                || grant.permission == permission;
            let reached = match (&grant.grantee, viewer) {
                (Grantee::User(owner), Viewer::Account(id)) => owner.id == id,
                (Grantee::AllUsers, _) | (Grantee::AuthenticatedUsers, Viewer::Account(_)) => {
                    !ignore_public
                }
                (Grantee::User(_) | Grantee::AuthenticatedUsers, Viewer::Anonymous)
                | (Grantee::LogDelivery, _) => false,
            };
            given && reached
        })
    }

    /// Whether everybody, or every account, is granted anything.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.grants
            .iter()
            .any(|grant| matches!(grant.grantee, Grantee::AllUsers | Grantee::AuthenticatedUsers))
    }

    /// Whether the bucket's owner has full control and nobody else is granted anything: the only
    /// list that can be asked for where lists are disabled.
    #[must_use]
    pub fn is_bucket_owner_full_control(&self, bucket_owner: &str) -> bool {
        !self.grants.is_empty()
            && self.grants.iter().all(|grant| {
                let owner =
                    matches!(&grant.grantee, Grantee::User(owner) if owner.id == bucket_owner);
                owner && grant.permission == Permission::FullControl
            })
    }
}

/// What a request asks for by `x-amz-acl` or by `x-amz-grant-*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    pub canned: Option<&'a str>,
    pub full_control: Option<&'a str>,
    pub read: Option<&'a str>,
    pub write: Option<&'a str>,
    pub read_acp: Option<&'a str>,
    pub write_acp: Option<&'a str>,
}

impl Asked<'_> {
    /// The list that the headers ask for; none if they ask for none.
    ///
    /// # Errors
    /// `InvalidRequest` for both kinds at once, `InvalidArgument` for what can't be read.
    pub fn to_acl(&self, of: Of, owner: &Owner, bucket_owner: &Owner) -> S3Result<Option<Acl>> {
        let headers = [
            (self.full_control, Permission::FullControl),
            (self.read, Permission::Read),
            (self.write, Permission::Write),
            (self.read_acp, Permission::ReadAcp),
            (self.write_acp, Permission::WriteAcp),
        ];
        let mut grants = Vec::new();
        for (text, permission) in headers {
            for grantee in text.map(grantees_of_header).transpose()?.unwrap_or_default() {
                grants.push(Grant { grantee, permission });
            }
        }
        if grants.len() > MAX_GRANTS {
            return Err(malformed());
        }
        match (self.canned, grants.is_empty()) {
            (Some(_), false) => Err(S3Error::with_message(
                S3ErrorCode::InvalidRequest,
                "Specifying both Canned ACLs and Header Grants is not allowed",
            )),
            (Some(name), true) => Acl::canned(name, of, owner.clone(), bucket_owner).map(Some),
            (None, false) => Ok(Some(Acl { owner: owner.clone(), grants })),
            (None, true) => Ok(None),
        }
    }
}

fn full_control(owner: Owner) -> Grant {
    Grant { grantee: Grantee::User(owner), permission: Permission::FullControl }
}

fn malformed() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::MalformedACLError,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

fn invalid(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

fn no_email() -> S3Error {
    S3Error::with_message(
        S3ErrorCode::UnresolvableGrantByEmailAddress,
        "The e-mail address you provided does not match any account on record.",
    )
}

/// The form of a canonical user ID.
fn user(id: &str, display_name: Option<String>) -> S3Result<Grantee> {
    if id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Grantee::User(Owner { id: id.to_ascii_lowercase(), display_name }))
    } else {
        Err(invalid("Invalid id"))
    }
}

fn group(uri: &str) -> S3Result<Grantee> {
    match uri {
        ALL_USERS => Ok(Grantee::AllUsers),
        AUTHENTICATED_USERS => Ok(Grantee::AuthenticatedUsers),
        LOG_DELIVERY => Ok(Grantee::LogDelivery),
        _ => Err(invalid("Invalid group uri")),
    }
}

fn grantees_of_header(text: &str) -> S3Result<Vec<Grantee>> {
    let mut grantees = Vec::new();
    for part in text.split(',') {
        let (kind, value) =
            part.trim().split_once('=').ok_or_else(|| invalid("Argument format not recognized"))?;
        let value = value.trim().trim_matches('"');
        grantees.push(match kind.trim().to_ascii_lowercase().as_str() {
            "id" => user(value, None)?,
            "uri" => group(value)?,
            "emailaddress" => return Err(no_email()),
            _ => return Err(invalid("Argument format not recognized")),
        });
    }
    Ok(grantees)
}

/// A grantee from the API.
///
/// # Errors
/// As those of [`Acl::from_api`].
pub fn grantee_from_api(grantee: dto::Grantee) -> S3Result<Grantee> {
    match grantee.type_.as_str() {
        dto::Type::CANONICAL_USER => user(&grantee.id.ok_or_else(malformed)?, grantee.display_name),
        dto::Type::GROUP => group(&grantee.uri.ok_or_else(malformed)?),
        dto::Type::AMAZON_CUSTOMER_BY_EMAIL => Err(no_email()),
        _ => Err(malformed()),
    }
}

/// A grantee as the API shows it.
#[must_use]
pub fn grantee_to_api(grantee: &Grantee) -> dto::Grantee {
    let group = |uri: &str| dto::Grantee {
        type_: dto::Type::from_static(dto::Type::GROUP),
        uri: Some(uri.to_owned()),
        display_name: None,
        email_address: None,
        id: None,
    };
    match grantee {
        Grantee::User(owner) => dto::Grantee {
            type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
            id: Some(owner.id.clone()),
            display_name: owner.display_name.clone(),
            email_address: None,
            uri: None,
        },
        Grantee::AllUsers => group(ALL_USERS),
        Grantee::AuthenticatedUsers => group(AUTHENTICATED_USERS),
        Grantee::LogDelivery => group(LOG_DELIVERY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(digit: char) -> Owner {
        Owner { id: digit.to_string().repeat(64), display_name: None }
    }

    #[test]
    fn canned_lists() {
        let (a, b, c) = (owner('a'), owner('b'), owner('c'));
        // Name, of an object, read by: anonymous, other account, bucket's owner.
        let table = [
            ("private", [false, false, false]),
            ("public-read", [true, true, true]),
            ("public-read-write", [true, true, true]),
            ("authenticated-read", [false, true, true]),
            ("bucket-owner-read", [false, false, true]),
            ("bucket-owner-full-control", [false, false, true]),
        ];
        for (name, [anonymous, other, bucket_owner]) in table {
            let acl = Acl::canned(name, Of::Object, a.clone(), &b).expect(name);
            let reads = |viewer| acl.allows(viewer, Permission::Read, false);
            assert!(reads(Viewer::Account(&a.id)), "{name}: owner");
            assert_eq!(reads(Viewer::Anonymous), anonymous, "{name}: anonymous");
            assert_eq!(reads(Viewer::Account(&c.id)), other, "{name}: other");
            assert_eq!(reads(Viewer::Account(&b.id)), bucket_owner, "{name}: bucket's owner");
            assert!(!acl.allows(Viewer::Anonymous, Permission::Read, true), "{name}: ignored");
        }
        let acl = Acl::canned("bucket-owner-full-control", Of::Object, a.clone(), &b).expect("acl");
        assert!(acl.allows(Viewer::Account(&b.id), Permission::WriteAcp, true));
        assert!(Acl::canned("log-delivery-write", Of::Object, a.clone(), &a).is_err());
        assert!(Acl::canned("everyone", Of::Bucket, a.clone(), &a).is_err());
    }

    #[test]
    fn headers() {
        let (a, b) = (owner('a'), owner('b'));
        let text = format!("id=\"{}\", uri=\"{ALL_USERS}\"", b.id);
        let asked = Asked { read: Some(&text), ..Asked::default() };
        let acl = asked.to_acl(Of::Object, &a, &a).expect("valid").expect("asked");
        assert_eq!(acl.grants.len(), 2);
        assert!(acl.allows(Viewer::Anonymous, Permission::Read, false));
        assert!(!acl.allows(Viewer::Account(&a.id), Permission::Read, true));
        let code = |asked: Asked<'_>| {
            asked.to_acl(Of::Object, &a, &a).expect_err("refused").code().as_str().to_owned()
        };
        let both = Asked { canned: Some("private"), read: Some(&text), ..Asked::default() };
        assert_eq!(code(both), "InvalidRequest");
        let mail = Asked { read: Some("emailAddress=\"a@b.c\""), ..Asked::default() };
        assert_eq!(code(mail), "UnresolvableGrantByEmailAddress");
        for bad in ["", "id", "id=7", "uri=http://x", "who=me"] {
            assert_eq!(code(Asked { read: Some(bad), ..Asked::default() }), "InvalidArgument");
        }
        assert!(Asked::default().to_acl(Of::Object, &a, &a).expect("none").is_none());
    }

    #[test]
    fn documents_survive_the_way_there_and_back() {
        let a = owner('a');
        let acl = Acl::canned("public-read-write", Of::Bucket, a.clone(), &a).expect("acl");
        let document =
            dto::AccessControlPolicy { owner: Some(a.to_api()), grants: Some(acl.grants_to_api()) };
        assert_eq!(Acl::from_api(document, &a).expect("valid"), acl);
        let nobody = dto::AccessControlPolicy { owner: None, grants: None };
        let fault = Acl::from_api(nobody, &a).expect_err("no owner");
        assert_eq!(fault.code().as_str(), "MalformedACLError");
    }
}
