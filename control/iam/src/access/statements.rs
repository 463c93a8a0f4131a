//! The statement behind an explicit deny, as the account of a refusal shows it.

use crate::{PolicyText, Request, permissions::visit_policies, policies};
use policy::{Clause, Decision, Document, Effect, Kind, Origin, PolicyType};
use serde_json::{Value, json};
use state::State;

/// The statements that decided: the one that denies. What nothing allows has none.
pub(super) fn matched(state: &State, request: &Request, decision: Decision) -> Vec<Value> {
    let Decision::ExplicitDeny(origin) = decision else { return Vec::new() };
    let text = text(state, request, origin);
    let document = text.and_then(|text| Document::parse(&text, text.len(), Kind::Identity).ok());
    let statement = document.and_then(|document| shown(&document, origin.statement, request));
    statement.into_iter().collect()
}

/// The text of the policy: those of a principal are counted in the order in which they were decided by.
fn text(state: &State, request: &Request, origin: Origin) -> Option<String> {
    let mut texts = Vec::new();
    let mut add = |_, text: &PolicyText| texts.push(text.text().to_owned());
    let boundary = visit_policies(state, &request.caller.principal, &mut add)?;
    match origin.policy_type {
        PolicyType::Identity => texts.into_iter().nth(origin.policy),
        PolicyType::Boundary => {
            boundary.and_then(|arn| policies::find(state, &arn)).map(of_managed)
        }
        PolicyType::Session => {
            let session = &request.caller.session.as_ref()?.session;
            let managed = session.policy_arns.iter().filter_map(|arn| policies::find(state, arn));
            let mut all = session.policy.iter().cloned().chain(managed.map(of_managed));
            all.nth(origin.policy)
        }
        PolicyType::Resource => None,
    }
}

fn of_managed(row: &policies::ManagedPolicy) -> String {
    row.document().text().to_owned()
}

fn items<'a>(values: impl IntoIterator<Item = &'a String>) -> Value {
    let values = values.into_iter().map(|value| json!({ "value": value }));
    json!({ "items": values.collect::<Vec<_>>() })
}

fn shown(document: &Document, number: usize, request: &Request) -> Option<Value> {
    let statement = document.statements().get(number)?;
    let effect = match statement.effect() {
        Effect::Allow => "ALLOW",
        Effect::Deny => "DENY",
    };
    let (actions, other_actions) = sides(Some(statement.actions()));
    let (resources, other_resources) = sides(statement.resources());
    let conditions = statement.conditions().iter();
    let conditions =
        conditions.map(|one| json!({ "key": one.key(), "values": items(one.values()) }));
    let mut shown = json!({
        "statementId": statement.sid().unwrap_or_default(),
        "effect": effect,
        "principals": { "items": [{ "value": request.caller.user_id }] },
        "principalGroups": { "items": [] },
        "actions": actions,
        "resources": resources,
        "conditions": { "items": conditions.collect::<Vec<_>>() },
    });
    for (name, other) in [("notActions", other_actions), ("notResources", other_resources)] {
        if let Some(other) = other {
            shown[name] = other;
        }
    }
    Some(shown)
}

/// What a clause lists, and what it lists as excepted.
fn sides(clause: Option<&Clause<Vec<String>>>) -> (Value, Option<Value>) {
    match clause {
        None => (items([]), None),
        Some(Clause::Is(values)) => (items(values), None),
        Some(Clause::Not(values)) => (items([]), Some(items(values))),
    }
}
