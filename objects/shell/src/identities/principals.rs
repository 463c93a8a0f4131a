//! Users and roles with their policies, compiled as they come.

use contracts::identity::{Identity, Managed, Subject as Row};
use policy::{Compiled, Document, Kind};
use s3::Own;
use session::{Session, Subject};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// What a text becomes that can't be read: it denies all.
static UNREADABLE: LazyLock<Arc<Compiled>> = LazyLock::new(|| fixed("Deny"));
/// What the root user's federated users have, within their session policies.
static ALL: LazyLock<Arc<Compiled>> = LazyLock::new(|| fixed("Allow"));

fn fixed(effect: &str) -> Arc<Compiled> {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"*","Resource":"*"}}}}"#
    );
    match Document::parse(&text, text.len(), Kind::Identity) {
        Ok(document) => document.compile(),
        Err(invalid) => unreachable!("{invalid}"),
    }
}

fn compiled(text: &str) -> Arc<Compiled> {
    let document = Document::parse(text, text.len(), Kind::Identity);
    document.map_or_else(|_| UNREADABLE.clone(), |document| document.compile())
}

/// A user or a role.
#[derive(Debug)]
struct Principal {
    row: Row,
    inline: Vec<Arc<Compiled>>,
}

/// The known users and roles.
#[derive(Debug, Default)]
pub(super) struct Principals {
    rows: HashMap<String, Principal>,
    policies: HashMap<String, Arc<Compiled>>,
}

impl Principals {
    pub(super) fn put_policy(&mut self, policy: Managed) {
        self.policies.insert(policy.arn, compiled(&policy.text));
    }

    pub(super) fn put(&mut self, row: Row) {
        let inline = row.inline.iter().map(|text| compiled(text)).collect();
        self.rows.insert(row.id.clone(), Principal { row, inline });
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.rows.remove(id);
        self.policies.remove(id);
    }

    /// Whether there can be a user or role with this ARN: of an account none of whose is known, anybody.
    pub(super) fn may_exist(&self, arn: &str) -> bool {
        let Some(rest) = arn.strip_prefix("arn:aws:iam::") else { return true };
        let Some((account, resource)) = rest.split_once(':') else { return true };
        if !resource.starts_with("user/") && !resource.starts_with("role/") {
            return true;
        }
        let mut known = false;
        for Principal { row, .. } in self.rows.values() {
            if row.arn == arn {
                return true;
            }
            known |= row.account.to_string() == account;
        }
        !known
    }

    /// What a user or a role may by its own policies; none if there is no such.
    pub(super) fn own(&self, id: &str) -> Option<Own> {
        let Principal { row, inline } = self.rows.get(id)?;
        let attached = row.attached.iter().filter_map(|arn| self.policies.get(arn).cloned());
        // A boundary that is gone allows nothing.
        let boundary = row
            .boundary
            .as_ref()
            .map(|arn| self.policies.get(arn).cloned().unwrap_or_else(|| UNREADABLE.clone()));
        let tags = row.tags.iter();
        let tags = tags.map(|(key, value)| (format!("aws:PrincipalTag/{key}"), value.clone()));
        let mut keys = tags.collect::<Vec<_>>();
        keys.push(("aws:PrincipalArn".to_owned(), row.arn.clone()));
        Some(Own {
            identity: inline.iter().cloned().chain(attached).collect(),
            boundary,
            session: None,
            role_arn: None,
            maker_arn: None,
            keys,
        })
    }

    /// Who acts in a session, and what it may; none if its user or role is gone.
    pub(super) fn in_session(&self, session: &Session) -> Option<(Identity, Option<Own>)> {
        let root = Identity::root(String::new(), String::new(), session.account);
        let row = |id: &str| self.rows.get(id).map(|principal| &principal.row);
        let (who, mut own) = match &session.subject {
            Subject::Root => return Some((root, None)),
            Subject::User { id } => {
                let (arn, user_id) = (row(id)?.arn.clone(), id.clone());
                (Identity { arn, user_id, root: false, ..root }, self.own(id)?)
            }
            Subject::Role { id, .. } => {
                let role_arn = Some(row(id)?.arn.clone());
                (in_name(session, root)?, Own { role_arn, ..self.own(id)? })
            }
            Subject::Federated { user: None, .. } => {
                let maker_arn = Some(root.arn.clone());
                let identity = vec![ALL.clone()];
                (in_name(session, root)?, Own { identity, maker_arn, ..Own::default() })
            }
            Subject::Federated { user: Some(id), .. } => {
                let maker_arn = Some(row(id)?.arn.clone());
                (in_name(session, root)?, Own { maker_arn, ..self.own(id)? })
            }
        };
        self.narrow(&mut own, session);
        Some((who, Some(own)))
    }

    /// Adds the session's policies and condition keys.
    fn narrow(&self, own: &mut Own, session: &Session) {
        let federated = own.maker_arn.is_some();
        if session.is_narrowed() || federated {
            let inline = session.policy.iter().map(|text| compiled(text));
            let managed = session.policy_arns.iter();
            let managed = managed.filter_map(|arn| self.policies.get(arn).cloned());
            own.session = Some(inline.chain(managed).collect());
        }
        let mut set = |key: &str, value: String| own.keys.push((key.to_owned(), value));
        set("aws:TokenIssueTime", session.issued.to_string());
        set("aws:MultiFactorAuthPresent", session.mfa_at.is_some().to_string());
        if let Some(source) = &session.source_identity {
            set("aws:SourceIdentity", source.clone());
        }
        if federated {
            set("aws:PrincipalType", "FederatedUser".to_owned());
            if let Some(arn) = session.arn() {
                set("aws:PrincipalArn", arn);
            }
        }
        for (key, value) in &session.tags {
            set(&format!("aws:PrincipalTag/{key}"), value.clone());
        }
    }
}

/// The session itself, by its own ARN and ID.
fn in_name(session: &Session, root: Identity) -> Option<Identity> {
    let (arn, user_id) = (session.arn()?, session.user_id()?);
    Some(Identity { arn, user_id, root: false, ..root })
}
