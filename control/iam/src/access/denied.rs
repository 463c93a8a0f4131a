//! Refusals, in the words of each service.

use crate::{
    Principal, Request,
    access::{Check, statements},
};
use policy::{Context, Decision};
use serde_json::{Value, json};
use session::{Salt, SessionKey};
use shapes::{Fault, Protocol, Service};
use state::State;

/// A refusal: who was refused what, and why.
#[derive(Debug)]
pub struct Denied {
    caller_arn: String,
    action: String,
    resource: String,
    decision: Decision,
    /// AWS's account of the decision, which the caller sees in sealed form.
    account: Value,
}

impl Denied {
    pub(super) fn new(
        state: &State,
        request: &Request,
        check: &Check,
        decision: Decision,
        context: &Context<'_>,
    ) -> Box<Self> {
        Box::new(Self {
            caller_arn: request.caller.arn.clone(),
            action: check.action.clone().into_owned(),
            resource: check.resource.clone(),
            decision,
            account: account(state, request, check, decision, context),
        })
    }

    /// `User: … is not authorized to perform: … on resource: … because …`.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { caller_arn, action, resource, decision, .. } = self;
        let why = decision.because(action);
        if resource == "*" {
            return format!("User: {caller_arn} is not authorized to perform: {action} {why}");
        }
        format!(
            "User: {caller_arn} is not authorized to perform: {action} on resource: {resource} {why}"
        )
    }

    /// The service's fault. EC2 adds the sealed account of the decision where a resource is named.
    #[must_use]
    pub fn fault(&self, service: &Service, key: &SessionKey, salt: &Salt) -> Fault {
        let message = self.message();
        match service.protocol {
            Protocol::Ec2 => {
                let sealed = match self.resource.as_str() {
                    "*" => None,
                    _ => key.seal_message(salt, &self.account.to_string()),
                };
                let sealed = sealed
                    .map(|sealed| format!(". Encoded authorization failure message: {sealed}"));
                let sealed = sealed.unwrap_or_default();
                let text =
                    format!("You are not authorized to perform this operation. {message}{sealed}");
                Fault::sender("UnauthorizedOperation", text).with_status(403)
            }
            Protocol::Json { .. } => Fault::sender("AccessDeniedException", message),
            Protocol::Query | Protocol::RestJson | Protocol::RestXml => {
                Fault::sender("AccessDenied", message).with_status(403)
            }
        }
    }
}

/// The JSON that `DecodeAuthorizationMessage` shows.
fn account(
    state: &State,
    request: &Request,
    check: &Check,
    decision: Decision,
    context: &Context<'_>,
) -> Value {
    let caller = &request.caller;
    let explicit = matches!(decision, Decision::ExplicitDeny(_));
    let name = match &caller.principal {
        Principal::Root(_) => "root",
        Principal::User(_) | Principal::Role(_) => caller.arn.rsplit('/').next().unwrap_or(""),
    };
    let conditions = context.iter().map(|(key, values)| {
        let values = values.iter().map(|value| json!({ "value": value })).collect::<Vec<_>>();
        json!({ "key": key, "values": { "items": values } })
    });
    json!({
        "allowed": false,
        "explicitDeny": explicit,
        "matchedStatements": { "items": statements::matched(state, request, decision) },
        "failures": { "items": [] },
        "context": {
            "principal": { "id": caller.user_id, "name": name, "arn": caller.arn },
            "action": check.action,
            "resource": check.resource,
            "conditions": { "items": conditions.collect::<Vec<_>>() },
        },
    })
}
