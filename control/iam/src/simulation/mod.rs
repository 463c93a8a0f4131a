//! The policy simulator: what policies would say of calls that nobody makes.

pub mod context;
mod evaluate;
mod positions;

use crate::{
    ManagedPolicy, PolicyText, Principal, Request, Role, User, documents, entity, errors,
    groups::Group,
    page::{Asked, Page, page},
    permissions::{Source, of_permissions, visit_policies},
    policies,
};
use evaluate::{Simulated, Simulation};
use shapes::{
    Fault,
    iam::{
        ContextEntry, EvaluationResult, SimulateCustomPolicyRequest, SimulatePolicyResponse,
        SimulatePrincipalPolicyRequest,
    },
};
use state::State;
use types::AccountId;

/// How many calls may be simulated at once: actions by resources.
const MAX_CALLS: usize = 10_000;
/// How many policies may be given.
const MAX_POLICIES: usize = 100;

/// What policies would say.
///
/// # Errors
/// A document is malformed, or there is too much of something.
pub fn simulate_custom_policy(
    _: &State,
    request: &Request,
    input: SimulateCustomPolicyRequest,
) -> Result<SimulatePolicyResponse, Fault> {
    let SimulateCustomPolicyRequest {
        policy_input_list,
        permissions_boundary_policy_input_list,
        action_names,
        resource_arns,
        resource_policy,
        resource_owner,
        caller_arn,
        context_entries,
        resource_handling_option: _,
        max_items,
        marker,
    } = input;
    let call =
        Calls { action_names, resource_arns, resource_policy, resource_owner, context_entries };
    let mut simulation = call.simulation(request)?;
    simulation.caller_arn = caller_arn
        .unwrap_or_else(|| format!("arn:aws:iam::{}:user/simulated", request.caller.account));
    simulation.add_given(policy_input_list)?;
    simulation.bound_by_given(permissions_boundary_policy_input_list)?;
    let Page { items, is_truncated, marker } =
        call.page(&simulation, Asked { marker, max_items })?;
    Ok(SimulatePolicyResponse {
        evaluation_results: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// What the policies of a user, group or role would say, together with those given.
///
/// # Errors
/// There is no such identity, a document is malformed, or there is too much of something.
pub fn simulate_principal_policy(
    state: &State,
    request: &Request,
    input: SimulatePrincipalPolicyRequest,
) -> Result<SimulatePolicyResponse, Fault> {
    let SimulatePrincipalPolicyRequest {
        policy_source_arn,
        policy_input_list,
        permissions_boundary_policy_input_list,
        action_names,
        resource_arns,
        resource_policy,
        resource_owner,
        caller_arn,
        context_entries,
        resource_handling_option: _,
        max_items,
        marker,
    } = input;
    let call =
        Calls { action_names, resource_arns, resource_policy, resource_owner, context_entries };
    let mut simulation = call.simulation(request)?;
    let source = policy_source_arn.unwrap_or_default();
    let identity = find(state, request, &source)?;
    identity.add_to(state, &mut simulation)?;
    simulation.caller_arn = caller_arn.unwrap_or(source);
    simulation.add_given(policy_input_list)?;
    simulation.bound_by_given(permissions_boundary_policy_input_list)?;
    let Page { items, is_truncated, marker } =
        call.page(&simulation, Asked { marker, max_items })?;
    Ok(SimulatePolicyResponse {
        evaluation_results: Some(items),
        is_truncated: Some(is_truncated),
        marker,
    })
}

/// What calls are simulated.
struct Calls {
    action_names: Option<Vec<String>>,
    resource_arns: Option<Vec<String>>,
    resource_policy: Option<String>,
    resource_owner: Option<String>,
    context_entries: Option<Vec<ContextEntry>>,
}

impl Calls {
    fn simulation(&self, request: &Request) -> Result<Simulation, Fault> {
        let mut simulation = Simulation::new(request.caller.account);
        for entry in self.context_entries.iter().flatten() {
            simulation.set(entry);
        }
        if let Some(policy) = &self.resource_policy {
            simulation.resource_policy = Some(evaluate::resource_policy(policy)?);
        }
        if let Some(owner) = &self.resource_owner {
            let account = owner.split(':').nth(4).unwrap_or(owner);
            let account = account
                .parse::<AccountId>()
                .map_err(|_| errors::invalid_input(format!("Invalid ResourceOwner {owner}")))?;
            simulation.resource_owner = Some(account);
        }
        Ok(simulation)
    }

    /// The results of one page; the others aren't computed.
    fn page(&self, simulation: &Simulation, asked: Asked) -> Result<Page<EvaluationResult>, Fault> {
        let actions = self.action_names.as_deref().unwrap_or_default();
        let everything = ["*".to_owned()];
        let resources = self.resource_arns.as_deref().filter(|arns| !arns.is_empty());
        let resources = resources.unwrap_or(&everything);
        if actions.len().saturating_mul(resources.len()) > MAX_CALLS {
            let message = format!("No more than {MAX_CALLS} calls can be simulated at once.");
            return Err(errors::invalid_input(message));
        }
        for action in actions {
            if !is_action(action) {
                let message = format!("Invalid action name {action}");
                return Err(errors::invalid_input(message));
            }
        }
        let calls = actions.iter().flat_map(|action| resources.iter().map(move |at| (action, at)));
        let calls = (0..MAX_CALLS).zip(calls);
        let Page { items, is_truncated, marker } =
            page(calls, |(number, _)| format!("{number:05}"), asked)?;
        let missing = simulation.missing();
        let items = items
            .into_iter()
            .map(|(_, (action, resource))| simulation.evaluate(action, resource, &missing));
        Ok(Page { items: items.collect(), is_truncated, marker })
    }
}

/// Whether a text names one action: `service:Name`.
fn is_action(text: &str) -> bool {
    let valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let parts = text.split_once(':');
    parts.is_some_and(|(service, name)| {
        !service.is_empty()
            && !name.is_empty()
            && service.chars().all(valid)
            && name.chars().all(|c| valid(c) || c == '*')
    })
}

/// An identity whose policies are simulated.
enum Identity<'a> {
    User(&'a User),
    Group(&'a Group),
    Role(&'a Role),
}

fn find<'a>(state: &'a State, request: &Request, arn: &str) -> Result<Identity<'a>, Fault> {
    let account = request.caller.account;
    let rest = arn.strip_prefix(&format!("arn:aws:iam::{account}:"));
    let (kind, path) = rest.and_then(|rest| rest.split_once('/')).ok_or_else(|| {
        errors::invalid_input(format!(
            "Invalid Entity Arn: {arn} does not clearly define entity type and name."
        ))
    })?;
    let name = path.rsplit('/').next();
    match kind {
        "user" => entity::find(state, account, name).map(Identity::User),
        "group" => entity::find(state, account, name).map(Identity::Group),
        "role" => entity::find(state, account, name).map(Identity::Role),
        _ => Err(errors::invalid_input(format!("Invalid Entity Arn: {arn}"))),
    }
}

impl Identity<'_> {
    /// Adds the identity's policies, its boundary and what is known of it.
    fn add_to(&self, state: &State, simulation: &mut Simulation) -> Result<(), Fault> {
        let mut found = Vec::new();
        let mut visit = |source: Source, text: &PolicyText| found.push((source, text.clone()));
        let boundary = match self {
            Identity::User(user) => {
                let principal = Principal::User(user.named.id.clone());
                visit_policies(state, &principal, &mut visit)
            }
            Identity::Role(role) => {
                let principal = Principal::Role(role.named.id.clone());
                visit_policies(state, &principal, &mut visit)
            }
            Identity::Group(group) => {
                let (permissions, name) = (&group.permissions, &group.named.name);
                of_permissions(state, permissions, "group", name, &mut visit);
                None
            }
        };
        for (source, text) in found {
            simulation.add(Simulated::of(&source, &text)?)?;
        }
        if let Some(policy) = boundary.flatten().and_then(|arn| policies::find(state, &arn)) {
            simulation.boundary = Some(documents::parsed(ManagedPolicy::document(policy).text())?);
        }
        match self {
            Identity::User(user) => simulation.is_user(user),
            Identity::Role(role) => simulation.is_role(role),
            Identity::Group(_) => {}
        }
        Ok(())
    }
}
