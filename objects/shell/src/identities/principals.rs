//! Users and roles with their policies, compiled as they come.

use contracts::identity::{Identity, Managed, Subject as Row};
use policy::{Caller, Compiled, Context, Document, Kind, Policies, Request};
use s3::Own;
use session::{Session, Subject};
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};
use types::Timestamp;

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

/// The service that this store is.
const SERVICE: &str = "s3.amazonaws.com";

/// A user or a role.
#[derive(Debug)]
struct Principal {
    row: Row,
    inline: Vec<Arc<Compiled>>,
    /// Who may act by the role; nobody by a user.
    trust: Option<Arc<Compiled>>,
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
        let trust = row
            .trust
            .as_ref()
            .and_then(|text| Some(Document::parse(text, text.len(), Kind::Trust).ok()?.compile()));
        self.rows.insert(row.id.clone(), Principal { row, inline, trust });
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.rows.remove(id);
        self.policies.remove(id);
    }

    /// Whether there is a user or a role with this ARN.
    pub(super) fn has(&self, arn: &str) -> bool {
        self.rows.values().any(|principal| principal.row.arn == arn)
    }

    /// A role that lets S3 act by it at this time.
    pub(super) fn trusting(&self, arn: &str, now: Timestamp) -> Option<&Row> {
        let Principal { row, trust, .. } =
            self.rows.values().find(|principal| principal.row.arn == arn)?;
        let mut context = Context::new();
        context.set("aws:CurrentTime", now.to_string());
        context.set("aws:EpochTime", now.millis().div_euclid(1000).to_string());
        context.set("aws:PrincipalIsAWSService", "true");
        context.set("aws:PrincipalServiceName", SERVICE);
        context.set("aws:SourceAccount", row.account.to_string());
        let request = Request {
            caller: Caller::Service { name: SERVICE },
            canonical_user: None,
            action: "sts:AssumeRole",
            resource: arn,
            context: &context,
        };
        let policies = Policies {
            resource: Some(&**trust.as_ref()?),
            resource_account: Some(row.account),
            resource_must_allow: true,
            ..Policies::default()
        };
        policy::decide(&request, &policies).is_allow().then_some(row)
    }

    /// What a user or a role may by its own policies; none if there is no such.
    pub(super) fn own(&self, id: &str) -> Option<Own> {
        let Principal { row, inline, trust: _ } = self.rows.get(id)?;
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
        for (key, value) in session.instance.iter().flat_map(|origin| origin.keys()) {
            set(key, value.to_owned());
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
