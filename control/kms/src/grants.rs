//! Grants: a principal may do some operations with a key, whatever its policy says.

use crate::{
    EncryptionContext,
    authorise::{self, Asked, By},
    check, errors, identify,
    keys::{self, Key},
    page::page,
    word,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use iam::Request;
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    kms::{
        CreateGrantRequest, CreateGrantResponse, GrantConstraints, GrantListEntry, GrantOperation,
        KeySpec, KeyUsageType, ListGrantsRequest, ListGrantsResponse, ListRetirableGrantsRequest,
        RetireGrantRequest, RetireGrantResponse, RevokeGrantRequest, RevokeGrantResponse,
    },
};
use state::{Row, State, Tx};
use std::{fmt::Display, sync::Arc};
use types::{Scope, Timestamp};

/// AWS's limit of grants on one key.
const MAX_GRANTS: usize = 50_000;
/// AWS's limit of tokens in one call.
const MAX_TOKENS: usize = 10;
/// AWS's limit of pairs in a constraint.
const MAX_CONSTRAINT_PAIRS: usize = 8;

/// A grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What its holders present until a grant is known everywhere; here it is so at once.
    pub token: String,
    /// The scope of its key.
    pub scope: Scope,
    /// The row of its key.
    pub key: String,
    pub key_arn: String,
    pub grantee: String,
    pub retiring: Option<String>,
    /// The ARN of who made it.
    pub issuer: String,
    #[serde(with = "word::list")]
    pub operations: Vec<GrantOperation>,
    /// Pairs that the encryption context must have.
    pub subset: Option<EncryptionContext>,
    /// What the encryption context must be.
    pub equals: Option<EncryptionContext>,
    pub name: Option<String>,
    pub created: Timestamp,
}

impl Row for Grant {
    const TABLE: &'static str = "kms-grant";
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("key", &self.key);
        add("token", &self.token);
        if let Some(retiring) = &self.retiring {
            add("retiring", retiring);
        }
    }
}

impl Grant {
    /// Whether the grant allows what is asked. Constraints are about operations that have an
    /// encryption context; they don't limit the others.
    #[must_use]
    pub fn allows(&self, asked: &Asked<'_>) -> bool {
        let Some(operation) = asked.operation else { return false };
        if !self.operations.iter().any(|granted| granted.as_str() == operation) {
            return false;
        }
        let Some(context) = asked.context else { return true };
        let has = |(name, value): (&String, &String)| context.get(name) == Some(value);
        self.subset.as_ref().is_none_or(|pairs| pairs.iter().all(has))
            && self.equals.as_ref().is_none_or(|pairs| pairs == context)
    }

    /// Whether who has this grant may give another: one of no other operations, as constrained.
    fn covers(&self, other: &Self) -> bool {
        let has_all = |pairs: &EncryptionContext, wanted: &EncryptionContext| {
            wanted.iter().all(|(name, value)| pairs.get(name) == Some(value))
        };
        let within = |wanted: &EncryptionContext| {
            let pairs = other.equals.as_ref().or(other.subset.as_ref());
            pairs.is_some_and(|pairs| has_all(pairs, wanted))
        };
        other.operations.iter().all(|operation| self.operations.contains(operation))
            && self.subset.as_ref().is_none_or(within)
            && self.equals.as_ref().is_none_or(|pairs| other.equals.as_ref() == Some(pairs))
    }
}

/// Tokens of a call: grants are known as soon as they are made, so that a token adds nothing; but it
/// must be one.
///
/// # Errors
/// There are too many, or one that nobody was given.
pub(crate) fn check_tokens(state: &State, tokens: Option<&[String]>) -> Result<(), Fault> {
    let tokens = tokens.unwrap_or_default();
    if tokens.len() > MAX_TOKENS {
        return Err(errors::constraint(
            "of many tokens",
            "grantTokens",
            format!("Member must have length less than or equal to {MAX_TOKENS}"),
        ));
    }
    for token in tokens {
        check::text("grantTokens.1.member", token, 1..=8192)?;
        if state.find::<Grant>("token", token).next().is_none() {
            return Err(errors::invalid_grant_token());
        }
    }
    Ok(())
}

fn principal(member: &str, given: &str) -> Result<(), Fault> {
    check::text(member, given, 1..=256)?;
    let allowed = |c: char| c.is_alphanumeric() || "_+=,.@:/-".contains(c);
    check::pattern(member, given, "^[\\w+=,.@:/-]+$", allowed)?;
    let is_service = given.ends_with(".amazonaws.com") && !given.contains(':');
    let parts = given.split(':').collect::<Vec<_>>();
    let is_arn = parts.len() >= 6 && parts[0] == "arn" && ["iam", "sts"].contains(&parts[2]);
    if !is_service && !is_arn {
        return Err(errors::invalid_arn(given));
    }
    Ok(())
}

/// The operations that a key of this usage has.
fn fits(operation: GrantOperation, key: &Key) -> bool {
    use GrantOperation as Operation;
    let (usage, symmetric) = (key.usage, key.spec == KeySpec::SymmetricDefault);
    match operation {
        Operation::CreateGrant | Operation::RetireGrant | Operation::DescribeKey => true,
        Operation::Decrypt
        | Operation::Encrypt
        | Operation::ReEncryptFrom
        | Operation::ReEncryptTo => usage == KeyUsageType::EncryptDecrypt,
        Operation::GenerateDataKey
        | Operation::GenerateDataKeyWithoutPlaintext
        | Operation::GenerateDataKeyPair
        | Operation::GenerateDataKeyPairWithoutPlaintext => symmetric,
        Operation::Sign | Operation::Verify => usage == KeyUsageType::SignVerify,
        Operation::GetPublicKey => key.public.is_some(),
        Operation::GenerateMac | Operation::VerifyMac => usage == KeyUsageType::GenerateVerifyMac,
        Operation::DeriveSharedSecret => usage == KeyUsageType::KeyAgreement,
    }
}

fn constraints(
    given: Option<GrantConstraints>,
    key: &Key,
) -> Result<(Option<EncryptionContext>, Option<EncryptionContext>), Fault> {
    let Some(GrantConstraints { encryption_context_subset, encryption_context_equals }) = given
    else {
        return Ok((None, None));
    };
    let pairs = [&encryption_context_subset, &encryption_context_equals];
    if pairs.into_iter().flatten().any(|pairs| pairs.len() > MAX_CONSTRAINT_PAIRS) {
        let limit = format!("A grant constraint can have {MAX_CONSTRAINT_PAIRS} pairs at most.");
        return Err(errors::validation(limit));
    }
    let constrained = encryption_context_subset.is_some() || encryption_context_equals.is_some();
    if constrained && key.spec != KeySpec::SymmetricDefault {
        return Err(errors::validation(
            "Encryption context constraints are supported for symmetric encryption keys only.",
        ));
    }
    Ok((encryption_context_subset, encryption_context_equals))
}

/// Makes a grant. The same call again, with a name, answers the grant that it made.
///
/// # Errors
/// There is no such key, it can't be used, or the grant can't be so.
pub fn create_grant(
    tx: &mut Tx,
    request: &Request,
    input: CreateGrantRequest,
) -> Result<CreateGrantResponse, Fault> {
    let CreateGrantRequest {
        key_id,
        grantee_principal,
        retiring_principal,
        operations,
        constraints: given,
        grant_tokens,
        name,
        dry_run,
    } = input;
    check_tokens(tx, grant_tokens.as_deref())?;
    let key = identify::key(tx, &request.scope, key_id.as_deref())?;
    let asked = Asked::granted("kms:CreateGrant");
    let by = authorise::allowed_by(tx, request, &key, &asked)?;
    let grantee = check::required("granteePrincipal", grantee_principal)?;
    principal("granteePrincipal", &grantee)?;
    if let Some(retiring) = &retiring_principal {
        principal("retiringPrincipal", retiring)?;
    }
    if let Some(name) = &name {
        check::text("name", name, 1..=256)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
        check::pattern("name", name, "^[a-zA-Z0-9:/_-]+$", allowed)?;
    }
    let mut operations = check::required("operations", operations)?;
    operations.sort_unstable();
    operations.dedup();
    if operations.is_empty() {
        return Err(errors::validation("A grant must have at least one operation."));
    }
    if let Some(other) = operations.iter().find(|operation| !fits(**operation, &key)) {
        return Err(errors::validation(format!(
            "The key's usage {} is not compatible with the grant operation {other}.",
            key.usage
        )));
    }
    let (subset, equals) = constraints(given, &key)?;
    keys::usable(&key, tx.now())?;
    let (row, created) = (key.key(), tx.now());
    let grant = Grant {
        id: hex::encode(tx.effects().seed()),
        token: token(tx),
        scope: key.scope.clone(),
        key: row,
        key_arn: key.arn(),
        grantee,
        retiring: retiring_principal,
        issuer: request.caller.arn.clone(),
        operations,
        subset,
        equals,
        name,
        created,
    };
    if let By::Grants(parents) = by
        && !parents.iter().any(|parent| parent.covers(&grant))
    {
        let because = "because no grant allows that much";
        return Err(authorise::denied(request, &key, &asked, because));
    }
    check::dry_run(dry_run)?;
    put(tx, grant)
}

fn token(tx: &mut Tx) -> String {
    let mut bytes = [0; 96];
    tx.effects().fill(&mut bytes);
    STANDARD.encode(bytes)
}

fn put(tx: &mut Tx, grant: Grant) -> Result<CreateGrantResponse, Fault> {
    let same = |other: &&Arc<Grant>| {
        let again = Grant {
            id: other.id.clone(),
            token: other.token.clone(),
            created: other.created,
            ..grant.clone()
        };
        other.name.is_some() && ***other == again
    };
    let answer = |grant: &Grant| CreateGrantResponse {
        grant_token: Some(grant.token.clone()),
        grant_id: Some(grant.id.clone()),
    };
    if let Some(other) = tx.find::<Grant>("key", &grant.key).find(same) {
        return Ok(answer(other));
    }
    if tx.find::<Grant>("key", &grant.key).count() >= MAX_GRANTS {
        return Err(errors::limit(format!("The limit of grants of a key is {MAX_GRANTS}.")));
    }
    let made = answer(&grant);
    tx.put(grant);
    Ok(made)
}

/// Lists a key's grants.
///
/// # Errors
/// There is no such key, or the limit or the marker is invalid.
pub fn list_grants(
    state: &State,
    request: &Request,
    input: ListGrantsRequest,
) -> Result<ListGrantsResponse, Fault> {
    let ListGrantsRequest { limit, marker, key_id, grant_id, grantee_principal } = input;
    let key = keys::find(state, request, "kms:ListGrants", key_id.as_deref())?;
    let rows = state.find::<Grant>("key", key.key()).filter(|grant| {
        grant_id.as_ref().is_none_or(|id| grant.id == *id)
            && grantee_principal.as_ref().is_none_or(|grantee| grant.grantee == *grantee)
    });
    list(rows, limit, marker.as_deref())
}

/// Lists the grants that a principal of the caller's account may retire.
///
/// # Errors
/// The limit or the marker is invalid.
pub fn list_retirable_grants(
    state: &State,
    request: &Request,
    input: ListRetirableGrantsRequest,
) -> Result<ListGrantsResponse, Fault> {
    let ListRetirableGrantsRequest { limit, marker, retiring_principal } = input;
    let retiring = check::required("retiringPrincipal", retiring_principal)?;
    principal("retiringPrincipal", &retiring)?;
    let own = format!(":{}:", request.caller.account);
    let rows = state.find::<Grant>("retiring", &retiring).filter(|grant| {
        grant.scope.region == request.scope.region
            && (grant.scope.account == request.caller.account || retiring.contains(&own))
    });
    list(rows, limit, marker.as_deref())
}

fn list<'a>(
    rows: impl Iterator<Item = &'a Arc<Grant>>,
    limit: Option<i32>,
    marker: Option<&str>,
) -> Result<ListGrantsResponse, Fault> {
    let page = page(rows, |grant| grant.id.clone(), limit, 50, marker)?;
    let truncated = page.truncated();
    Ok(ListGrantsResponse {
        grants: Some(page.rows.iter().map(|grant| to_api(grant)).collect()),
        next_marker: page.next,
        truncated,
    })
}

fn to_api(grant: &Grant) -> GrantListEntry {
    let constrained = grant.subset.is_some() || grant.equals.is_some();
    GrantListEntry {
        key_id: Some(grant.key_arn.clone()),
        grant_id: Some(grant.id.clone()),
        name: Some(grant.name.clone().unwrap_or_default()),
        creation_date: Some(grant.created),
        grantee_principal: Some(grant.grantee.clone()),
        retiring_principal: grant.retiring.clone(),
        issuing_account: Some(format!("arn:aws:iam::{}:root", account_of(&grant.issuer))),
        operations: Some(grant.operations.clone()),
        constraints: constrained.then(|| GrantConstraints {
            encryption_context_subset: grant.subset.clone(),
            encryption_context_equals: grant.equals.clone(),
        }),
    }
}

fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// Ends a grant that its holder needs no more, by its token or by key and ID. The retiring principal
/// may, the key's account, and the grantee if the grant says so.
///
/// # Errors
/// There is no such grant, or the caller may not.
pub fn retire_grant(
    tx: &mut Tx,
    request: &Request,
    input: RetireGrantRequest,
) -> Result<RetireGrantResponse, Fault> {
    let RetireGrantRequest { grant_token, key_id, grant_id, dry_run } = input;
    let grant = match (grant_token, key_id, grant_id) {
        (Some(token), None, None) => {
            let grant = tx.find::<Grant>("token", &token).next().cloned();
            let grant = grant.filter(|grant| grant.scope.region == request.scope.region);
            grant.ok_or_else(errors::invalid_grant_token)?
        }
        (None, Some(key_id), Some(id)) => {
            let key = identify::key(tx, &request.scope, Some(&key_id))?;
            of_key(tx, &key, &id)?
        }
        _ => {
            return Err(errors::validation(
                "You must specify either a grant token or a key ID and a grant ID.",
            ));
        }
    };
    let who = request.caller.arn.as_str();
    let may = grant.retiring.as_deref() == Some(who)
        || (grant.grantee == who && grant.operations.contains(&GrantOperation::RetireGrant));
    if !may {
        let key = tx.get::<Key>(&grant.key).cloned();
        let key = key.ok_or_else(|| errors::grant_not_found(&grant.id))?;
        authorise::check(tx, request, &key, &Asked::new("kms:RetireGrant"))?;
    }
    check::dry_run(dry_run)?;
    tx.delete::<Grant>(&grant.id);
    Ok(RetireGrantResponse {})
}

fn of_key(tx: &Tx, key: &Key, id: &str) -> Result<Arc<Grant>, Fault> {
    check::text("grantId", id, 1..=128)?;
    let grant = tx.get::<Grant>(&id.to_owned()).filter(|grant| grant.key == key.key());
    grant.cloned().ok_or_else(|| errors::grant_not_found(id))
}

/// Ends a grant of a key.
///
/// # Errors
/// There is no such key or grant.
pub fn revoke_grant(
    tx: &mut Tx,
    request: &Request,
    input: RevokeGrantRequest,
) -> Result<RevokeGrantResponse, Fault> {
    let RevokeGrantRequest { key_id, grant_id, dry_run } = input;
    let key = keys::find(tx, request, "kms:RevokeGrant", key_id.as_deref())?;
    let id = check::required("grantId", grant_id)?;
    let grant = of_key(tx, &key, &id)?;
    check::dry_run(dry_run)?;
    tx.delete::<Grant>(&grant.id);
    Ok(RevokeGrantResponse {})
}
