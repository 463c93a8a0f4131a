//! Roles that are linked to a service, which alone may assume and change them.

use crate::{Named, Permissions, PolicyText, Request, Role, UniqueId, entity, errors, policies};
use serde::{Deserialize, Serialize};
use shapes::{
    Fault,
    iam::{
        CreateServiceLinkedRoleRequest, CreateServiceLinkedRoleResponse,
        DeleteServiceLinkedRoleRequest, DeleteServiceLinkedRoleResponse, DeletionTaskStatusType,
        GetServiceLinkedRoleDeletionStatusRequest, GetServiceLinkedRoleDeletionStatusResponse,
    },
};
use state::{Row, State, Tx};
use std::{collections::BTreeSet, fmt::Display};
use types::{AccountId, Scope, Tags, Timestamp};

/// The path below which all of them are.
pub(super) const PATH: &str = "/aws-service-role/";
/// How many ended deletions an account's status can be asked of.
const MAX_DELETIONS: usize = 100;

/// Services that have a role of their own: principal, the name's end, whether there may be several
/// with suffixes, and the policy of AWS's that it has, if it is one of those known here.
const SERVICES: &[(&str, &str, bool, &str)] = &[
    ("autoscaling.amazonaws.com", "AutoScaling", true, "AutoScalingServiceRolePolicy"),
    (
        "ec2-instance-connect.amazonaws.com",
        "EC2InstanceConnect",
        false,
        "Ec2InstanceConnectEndpoint",
    ),
    (
        "ec2.application-autoscaling.amazonaws.com",
        "ApplicationAutoScaling_EC2SpotFleetRequest",
        false,
        "",
    ),
    ("ec2fleet.amazonaws.com", "EC2Fleet", false, "AWSEC2FleetServiceRolePolicy"),
    ("ec2scheduled.amazonaws.com", "EC2ScheduledInstances", false, ""),
    ("ecs.amazonaws.com", "ECS", false, "AmazonECSServiceRolePolicy"),
    ("ecs.application-autoscaling.amazonaws.com", "ApplicationAutoScaling_ECSService", false, ""),
    ("eks.amazonaws.com", "AmazonEKS", false, ""),
    ("eks-nodegroup.amazonaws.com", "AmazonEKSNodegroup", false, ""),
    ("elasticache.amazonaws.com", "ElastiCache", false, ""),
    ("elasticbeanstalk.amazonaws.com", "ElasticBeanstalk", false, ""),
    ("elasticfilesystem.amazonaws.com", "AmazonElasticFileSystem", false, ""),
    (
        "elasticloadbalancing.amazonaws.com",
        "ElasticLoadBalancing",
        false,
        "AWSElasticLoadBalancingServiceRolePolicy",
    ),
    ("fsx.amazonaws.com", "AmazonFSx", false, ""),
    ("guardduty.amazonaws.com", "AmazonGuardDuty", false, ""),
    ("lex.amazonaws.com", "LexBots", false, ""),
    ("opensearchservice.amazonaws.com", "AmazonOpenSearchService", false, ""),
    ("organizations.amazonaws.com", "Organizations", false, ""),
    ("rds.amazonaws.com", "RDS", false, ""),
    ("replication.dynamodb.amazonaws.com", "DynamoDBReplication", false, ""),
    ("spot.amazonaws.com", "EC2Spot", false, "AWSEC2SpotServiceRolePolicy"),
    ("spotfleet.amazonaws.com", "EC2SpotFleet", false, "AWSEC2SpotFleetServiceRolePolicy"),
    ("ssm.amazonaws.com", "AmazonSSM", false, ""),
    ("support.amazonaws.com", "Support", false, ""),
    ("transitgateway.amazonaws.com", "VPCTransitGateway", false, ""),
    ("trustedadvisor.amazonaws.com", "TrustedAdvisor", false, ""),
];

/// A deletion of a role that was asked for, and has ended: nothing here uses one that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoleDeletion {
    /// The account.
    pub account: AccountId,
    /// The task's ID: `task/aws-service-role/…`.
    pub task: String,
    /// When it ended.
    pub ended: Timestamp,
}

impl Row for RoleDeletion {
    const TABLE: &'static str = "iam-role-deletion";
    /// The account and the task's ID.
    type Key = String;
    fn key(&self) -> String {
        key(self.account, &self.task)
    }
    fn scope(&self) -> Option<&Scope> {
        None
    }
    fn indexes(&self, add: &mut dyn FnMut(&'static str, &dyn Display)) {
        add("account", &self.account);
    }
}

fn key(account: AccountId, task: &str) -> String {
    format!("{account}/{task}")
}

/// Makes a service's role.
///
/// # Errors
/// The service has none, the suffix isn't allowed, or the role exists.
pub fn create_service_linked_role(
    tx: &mut Tx,
    request: &Request,
    input: CreateServiceLinkedRoleRequest,
) -> Result<CreateServiceLinkedRoleResponse, Fault> {
    let CreateServiceLinkedRoleRequest { aws_service_name, description, custom_suffix } = input;
    let service = aws_service_name.unwrap_or_default();
    let known = SERVICES.iter().find(|(principal, ..)| *principal == service);
    let (_, end, takes_suffix, policy) = known.ok_or_else(|| {
        let message =
            format!("Service principal {service} doesn't exist or has no service-linked role.");
        errors::validation(message)
    })?;
    if custom_suffix.is_some() && !takes_suffix {
        let message = format!("Custom suffix is not allowed for {service}");
        return Err(errors::invalid_input(message));
    }
    let suffix = custom_suffix.map(|suffix| format!("_{suffix}")).unwrap_or_default();
    let name = format!("AWSServiceRoleFor{end}{suffix}");
    if entity::check_free::<Role>(tx, request.caller.account, &name, None).is_err() {
        let message = format!(
            "Service role name {name} has been taken in this account, please try a different \
             suffix."
        );
        return Err(errors::invalid_input(message));
    }
    entity::check_new::<Role>(tx, request.caller.account, &name)?;
    let trust = format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Action\":[\"sts:AssumeRole\"],\"Effect\":\
         \"Allow\",\"Principal\":{{\"Service\":[\"{service}\"]}}}}]}}"
    );
    let arn = format!("arn:aws:iam::aws:policy{PATH}{policy}");
    let attached = BTreeSet::from_iter(policies::find(tx, &arn).is_some().then_some(arn));
    let path = Some(format!("{PATH}{service}/"));
    let role = Role {
        named: Named::new(tx, request.caller.account, "AROA", path, name),
        permissions: Permissions { attached, ..Permissions::default() },
        trust: PolicyText::unread(trust),
        description,
        max_session_s: super::USUAL_SESSION_S,
        tags: Tags::new(),
        linked_service: Some(service),
        last_used: None,
    };
    let mut answer = role.to_api_in_full();
    answer.role_last_used = None;
    tx.put(role);
    Ok(CreateServiceLinkedRoleResponse { role: Some(answer) })
}

/// Deletes a service's role, which nothing here uses, at once.
///
/// # Errors
/// There is no such role, or it is linked to no service.
pub fn delete_service_linked_role(
    tx: &mut Tx,
    request: &Request,
    input: DeleteServiceLinkedRoleRequest,
) -> Result<DeleteServiceLinkedRoleResponse, Fault> {
    let DeleteServiceLinkedRoleRequest { role_name } = input;
    let account = request.caller.account;
    let role = entity::take::<Role>(tx, request, role_name.as_deref())?;
    let Some(service) = &role.linked_service else {
        let message = format!("The role {} is not a service-linked role.", role.named.name);
        return Err(errors::invalid_input(message));
    };
    let number = UniqueId::new(tx, "");
    let task = format!("task{PATH}{service}/{}/{number}", role.named.name);
    tx.delete::<Role>(&role.named.id);
    let mut ended = tx.find::<RoleDeletion>("account", account).cloned().collect::<Vec<_>>();
    ended.sort_by_key(|deletion| deletion.ended);
    let surplus = (ended.len() + 1).saturating_sub(MAX_DELETIONS);
    for deletion in &ended[..surplus] {
        tx.delete::<RoleDeletion>(&deletion.key());
    }
    let ended = tx.now();
    tx.put(RoleDeletion { account, task: task.clone(), ended });
    Ok(DeleteServiceLinkedRoleResponse { deletion_task_id: Some(task) })
}

/// How the deletion of a service's role went.
///
/// # Errors
/// There is no such task.
pub fn get_service_linked_role_deletion_status(
    state: &State,
    request: &Request,
    input: GetServiceLinkedRoleDeletionStatusRequest,
) -> Result<GetServiceLinkedRoleDeletionStatusResponse, Fault> {
    let GetServiceLinkedRoleDeletionStatusRequest { deletion_task_id } = input;
    let task = deletion_task_id.unwrap_or_default();
    match state.get::<RoleDeletion>(&key(request.caller.account, &task)) {
        Some(_) => Ok(GetServiceLinkedRoleDeletionStatusResponse {
            status: Some(DeletionTaskStatusType::Succeeded),
            reason: None,
        }),
        None => Err(errors::no_entity(format!("Deletion task {task} does not exist."))),
    }
}
