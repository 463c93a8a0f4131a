//! The condition keys that policies ask for.

use super::{Identity, find};
use crate::{
    PolicyText, Principal, Request, documents,
    permissions::{Source, of_permissions, visit_policies},
};
use policy::Document;
use shapes::{
    Fault,
    iam::{
        GetContextKeysForCustomPolicyRequest, GetContextKeysForPolicyResponse,
        GetContextKeysForPrincipalPolicyRequest,
    },
};
use state::State;
use std::collections::BTreeSet;

/// The keys of documents: of conditions, and in variables.
pub(super) fn keys<'a>(documents: impl Iterator<Item = (&'a Document, &'a str)>) -> Vec<String> {
    let mut keys = BTreeSet::new();
    for (document, text) in documents {
        for condition in document.statements().iter().flat_map(policy::Statement::conditions) {
            keys.insert(condition.key().to_owned());
        }
        for part in text.split("${").skip(1) {
            let Some((variable, _)) = part.split_once('}') else { continue };
            // What follows a comma is the value of an absent key.
            let key = variable.split(',').next().unwrap_or_default().trim();
            if key.contains(':') {
                keys.insert(key.to_owned());
            }
        }
    }
    keys.into_iter().collect()
}

fn of_texts(texts: Vec<String>) -> Result<Vec<String>, Fault> {
    let documents = texts.iter().map(|text| Ok((documents::parsed(text)?, text)));
    let documents = documents.collect::<Result<Vec<_>, Fault>>()?;
    Ok(keys(documents.iter().map(|(document, text)| (document, text.as_str()))))
}

/// The keys that policies ask for.
///
/// # Errors
/// A document is malformed.
pub fn get_context_keys_for_custom_policy(
    _: &State,
    _: &Request,
    input: GetContextKeysForCustomPolicyRequest,
) -> Result<GetContextKeysForPolicyResponse, Fault> {
    let GetContextKeysForCustomPolicyRequest { policy_input_list } = input;
    let names = of_texts(policy_input_list.unwrap_or_default())?;
    Ok(GetContextKeysForPolicyResponse { context_key_names: Some(names) })
}

/// The keys that an identity's policies ask for, together with those given.
///
/// # Errors
/// There is no such identity, or a document is malformed.
pub fn get_context_keys_for_principal_policy(
    state: &State,
    request: &Request,
    input: GetContextKeysForPrincipalPolicyRequest,
) -> Result<GetContextKeysForPolicyResponse, Fault> {
    let GetContextKeysForPrincipalPolicyRequest { policy_source_arn, policy_input_list } = input;
    let mut texts = policy_input_list.unwrap_or_default();
    let mut visit = |_: Source, text: &PolicyText| texts.push(text.text().to_owned());
    match find(state, request, policy_source_arn.as_deref().unwrap_or_default())? {
        Identity::User(user) => {
            visit_policies(state, &Principal::User(user.named.id.clone()), &mut visit);
        }
        Identity::Role(role) => {
            visit_policies(state, &Principal::Role(role.named.id.clone()), &mut visit);
        }
        Identity::Group(group) => {
            of_permissions(state, &group.permissions, "group", &group.named.name, &mut visit);
        }
    }
    Ok(GetContextKeysForPolicyResponse { context_key_names: Some(of_texts(texts)?) })
}
