//! One simulated call: the decision, and the statements behind it.

use super::{MAX_POLICIES, context, positions};
use crate::{PolicyText, Role, User, documents, errors, permissions::Source};
use policy::{
    Caller, Compiled, Context, Decision, Document, Effect, Kind, Policies, PolicyType,
    Request as PolicyRequest, Statement, decide,
};
use shapes::{
    Fault,
    iam::{
        ContextEntry, ContextKeyTypeEnum, EvaluationResult, PermissionsBoundaryDecisionDetail,
        PolicyEvaluationDecisionType, PolicySourceType, Position, ResourceSpecificResult,
        Statement as Matched,
    },
};
use std::{collections::BTreeSet, sync::Arc};
use types::AccountId;

/// How many statements may take part.
const MAX_STATEMENTS: usize = 500;

/// A policy that takes part, with where it is from.
pub(super) struct Simulated {
    id: String,
    source: PolicySourceType,
    text: String,
    document: Document,
    /// Each statement as a document of its own.
    statements: Vec<(Effect, Arc<Compiled>)>,
}

impl Simulated {
    fn new(id: String, source: PolicySourceType, text: String) -> Result<Self, Fault> {
        let document = documents::parsed(&text)?;
        let alone = |statement: &Statement| {
            let version = document.version().as_str();
            let statement_text = serde_json::json!({"Version": version, "Statement": statement});
            let one = documents::parsed(&statement_text.to_string())?;
            Ok((statement.effect(), one.compile()))
        };
        let statements = document.statements().iter().map(alone).collect::<Result<_, Fault>>()?;
        Ok(Self { id, source, text, document, statements })
    }

    /// An identity's policy.
    pub(super) fn of(source: &Source, text: &PolicyText) -> Result<Self, Fault> {
        let (id, kind) = match source.kind {
            "user" => (format!("user_{}_{}", source.owner, source.name), PolicySourceType::User),
            "group" => (format!("group_{}_{}", source.owner, source.name), PolicySourceType::Group),
            "role" => (format!("role_{}_{}", source.owner, source.name), PolicySourceType::Role),
            _ if source.owner.starts_with("arn:aws:iam::aws:") => {
                (source.name.clone(), PolicySourceType::AwsManaged)
            }
            _ => (source.name.clone(), PolicySourceType::UserManaged),
        };
        Self::new(id, kind, text.text().to_owned())
    }
}

/// Everything but the action and the resource.
pub(super) struct Simulation {
    account: AccountId,
    policies: Vec<Simulated>,
    statements: usize,
    identity: Vec<Arc<Compiled>>,
    pub(super) boundary: Option<Document>,
    pub(super) resource_policy: Option<Document>,
    pub(super) resource_owner: Option<AccountId>,
    pub(super) caller_arn: String,
    context: Context<'static>,
    given: BTreeSet<String>,
}

/// A valid policy of a resource.
pub(super) fn resource_policy(text: &str) -> Result<Document, Fault> {
    Document::parse(text, text.len(), Kind::Resource).map_err(|invalid| {
        errors::invalid_input(format!("The resource policy is invalid: {invalid}"))
    })
}

impl Simulation {
    pub(super) fn new(account: AccountId) -> Self {
        Self {
            account,
            policies: Vec::new(),
            statements: 0,
            identity: Vec::new(),
            boundary: None,
            resource_policy: None,
            resource_owner: None,
            caller_arn: String::new(),
            context: Context::new(),
            given: BTreeSet::new(),
        }
    }

    /// Gives a condition key its values.
    pub(super) fn set(&mut self, entry: &ContextEntry) {
        let Some(key) = entry.context_key_name.clone() else { return };
        let values = entry.context_key_values.clone().unwrap_or_default();
        self.given.insert(key.to_ascii_lowercase());
        let is_list = entry
            .context_key_type
            .is_some_and(|kind: ContextKeyTypeEnum| kind.as_str().ends_with("List"));
        match <[String; 1]>::try_from(values) {
            Ok([value]) if !is_list => self.context.set(key, value),
            Ok(values) => self.context.set_all(key, values),
            Err(values) => self.context.set_all(key, values),
        }
    }

    fn set_known(&mut self, key: &str, value: &str) {
        if self.given.insert(key.to_ascii_lowercase()) {
            self.context.set(key.to_owned(), value.to_owned());
        }
    }

    /// What a user's calls carry.
    pub(super) fn is_user(&mut self, user: &User) {
        self.set_known("aws:username", &user.named.name);
        self.set_known("aws:userid", user.named.id.as_str());
        self.set_known("aws:PrincipalType", "User");
        self.set_known("aws:PrincipalArn", &user.arn());
        self.set_known("aws:PrincipalAccount", &self.account.to_string());
        for (key, value) in &user.tags {
            self.set_known(&format!("aws:PrincipalTag/{key}"), value);
        }
    }

    /// What a role's calls carry.
    pub(super) fn is_role(&mut self, role: &Role) {
        self.set_known("aws:userid", &format!("{}:simulated", role.named.id));
        self.set_known("aws:PrincipalType", "AssumedRole");
        self.set_known("aws:PrincipalArn", &role.arn());
        self.set_known("aws:PrincipalAccount", &self.account.to_string());
        for (key, value) in &role.tags {
            self.set_known(&format!("aws:PrincipalTag/{key}"), value);
        }
    }

    /// Adds a policy.
    ///
    /// # Errors
    /// There are too many statements.
    pub(super) fn add(&mut self, policy: Simulated) -> Result<(), Fault> {
        self.statements += policy.statements.len();
        if self.statements > MAX_STATEMENTS {
            let message = format!("No more than {MAX_STATEMENTS} statements can be simulated.");
            return Err(errors::invalid_input(message));
        }
        self.identity.push(policy.document.compile());
        self.policies.push(policy);
        Ok(())
    }

    /// The condition keys that the policies ask for, and nothing gives.
    pub(super) fn missing(&self) -> Vec<String> {
        let documents = self.policies.iter().map(|policy| (&policy.document, policy.text.as_str()));
        let mut keys = context::keys(documents);
        keys.retain(|key| !self.given.contains(&key.to_ascii_lowercase()));
        keys
    }

    /// Adds the policies that a call gives.
    pub(super) fn add_given(&mut self, texts: Option<Vec<String>>) -> Result<(), Fault> {
        let texts = texts.unwrap_or_default();
        if texts.len() > MAX_POLICIES {
            let message = format!("No more than {MAX_POLICIES} policies can be simulated.");
            return Err(errors::invalid_input(message));
        }
        for (number, text) in (1..).zip(texts) {
            let id = format!("PolicyInputList.{number}");
            self.add(Simulated::new(id, PolicySourceType::None, text)?)?;
        }
        Ok(())
    }

    /// Takes the boundary that a call gives, in place of the identity's own.
    pub(super) fn bound_by_given(&mut self, texts: Option<Vec<String>>) -> Result<(), Fault> {
        let texts = texts.unwrap_or_default();
        match texts.as_slice() {
            [] => Ok(()),
            [text] => {
                self.boundary = Some(documents::parsed(text)?);
                Ok(())
            }
            _ => Err(errors::invalid_input(
                "PermissionsBoundaryPolicyInputList can have one policy only.",
            )),
        }
    }

    /// Decides about a call by these policies.
    fn decide(
        &self,
        action: &str,
        resource: &str,
        identity: &[Arc<Compiled>],
        bounded: bool,
    ) -> Decision {
        let role_arn = self.caller_arn.as_str();
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let session = format!("arn:aws:sts::{}:assumed-role/{name}/simulated", self.account);
        let caller = if role_arn.contains(":role/") {
            Caller::RoleSession { account: self.account, role_arn, session_arn: &session }
        } else {
            Caller::User { account: self.account, arn: role_arn }
        };
        let request = PolicyRequest {
            caller,
            canonical_user: None,
            action,
            resource,
            context: &self.context,
        };
        let boundary = self.boundary.as_ref().filter(|_| bounded).map(Document::compile);
        let by_resource = self.resource_policy.as_ref().filter(|_| bounded).map(Document::compile);
        let owner = resource.split(':').nth(4).and_then(|owner| owner.parse().ok());
        let policies = Policies {
            identity,
            resource: by_resource.as_deref(),
            resource_account: self.resource_owner.or(owner).filter(|_| bounded),
            boundary: boundary.as_deref(),
            ..Policies::default()
        };
        decide(&request, &policies)
    }

    /// What comes of a call.
    pub(super) fn evaluate(
        &self,
        action: &str,
        resource: &str,
        missing: &[String],
    ) -> EvaluationResult {
        let decision = self.decide(action, resource, &self.identity, true);
        let (named, wanted) = match decision {
            Decision::Allow => (PolicyEvaluationDecisionType::Allowed, Some(Effect::Allow)),
            Decision::ExplicitDeny(_) => {
                (PolicyEvaluationDecisionType::ExplicitDeny, Some(Effect::Deny))
            }
            Decision::ImplicitDeny(PolicyType::Boundary) => {
                (PolicyEvaluationDecisionType::ImplicitDeny, Some(Effect::Allow))
            }
            Decision::ImplicitDeny(_) => (PolicyEvaluationDecisionType::ImplicitDeny, None),
        };
        let matched = wanted.map(|effect| self.matched(action, resource, effect));
        let matched = matched.unwrap_or_default();
        let bounds = self.boundary.as_ref().map(|boundary| {
            let allows = self.decide(action, resource, &[boundary.compile()], false).is_allow();
            PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allows) }
        });
        EvaluationResult {
            eval_action_name: Some(action.to_owned()),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: Some(named),
            // Of a resource that the call names, once more by the resource.
            resource_specific_results: (resource != "*").then(|| {
                vec![ResourceSpecificResult {
                    eval_resource_name: Some(resource.to_owned()),
                    eval_resource_decision: Some(named),
                    matched_statements: Some(matched.clone()),
                    missing_context_values: Some(missing.to_vec()),
                    eval_decision_details: None,
                    permissions_boundary_decision_detail: bounds.clone(),
                }]
            }),
            matched_statements: Some(matched),
            missing_context_values: Some(missing.to_vec()),
            permissions_boundary_decision_detail: bounds,
            ..EvaluationResult::default()
        }
    }

    /// The statements of this effect that fit a call.
    fn matched(&self, action: &str, resource: &str, wanted: Effect) -> Vec<Matched> {
        let mut matched = Vec::new();
        for policy in &self.policies {
            for (number, (effect, alone)) in policy.statements.iter().enumerate() {
                let decision = self.decide(action, resource, std::slice::from_ref(alone), false);
                let fits = match effect {
                    Effect::Allow => decision.is_allow(),
                    Effect::Deny => matches!(decision, Decision::ExplicitDeny(_)),
                };
                if *effect != wanted || !fits {
                    continue;
                }
                let (start, end) = positions::of(&policy.text, number).unzip();
                let position = |at: Option<(i32, i32)>| {
                    at.map(|(line, column)| Position { line: Some(line), column: Some(column) })
                };
                matched.push(Matched {
                    source_policy_id: Some(policy.id.clone()),
                    source_policy_type: Some(policy.source),
                    start_position: position(start),
                    end_position: position(end),
                });
            }
        }
        matched
    }
}
