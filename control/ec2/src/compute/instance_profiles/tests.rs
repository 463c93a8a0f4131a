//! Profiles that are associated, replaced, taken away, and what an instance then is.

use super::*;
use crate::{
    compute::instances,
    testing::{filter, request},
    vpc::{defaults, testing::instance},
};
use iam::{Named, Permissions, PolicyText, Role};

/// A cloud whose account has its default VPC.
fn with_default_vpc() -> Tx {
    let mut tx = crate::testing::tx();
    defaults::set_up(&mut tx, &request().scope);
    tx
}

fn profile(tx: &mut Tx, name: &str, with_role: bool) -> InstanceProfile {
    let account = AccountId::DEFAULT;
    let role = Role {
        named: Named::new(tx, account, "AROA", None, name.to_owned()),
        permissions: Permissions::default(),
        trust: PolicyText::unread("{}".to_owned()),
        description: None,
        max_session_s: 3600,
        tags: types::Tags::new(),
        linked_service: None,
        last_used: None,
    };
    let row = InstanceProfile {
        named: Named::new(tx, account, "AIPA", Some("/a/".to_owned()), name.to_owned()),
        role: with_role.then(|| role.named.id.clone()),
        tags: types::Tags::new(),
    };
    tx.put(role);
    tx.put(row.clone());
    row
}

fn by_name(name: &str) -> Option<IamInstanceProfileSpecification> {
    Some(IamInstanceProfileSpecification { arn: None, name: Some(name.to_owned()) })
}

fn give(tx: &mut Tx, id: InstanceId, name: &str) -> Result<IamInstanceProfileAssociation, Fault> {
    let input = AssociateIamInstanceProfileRequest {
        iam_instance_profile: by_name(name),
        instance_id: Some(id.to_string()),
    };
    let result = associate_iam_instance_profile(tx, &request(), input);
    result.map(|result| result.iam_instance_profile_association.unwrap())
}

fn replace(tx: &mut Tx, id: &str, name: &str) -> Result<IamInstanceProfileAssociation, Fault> {
    let input = ReplaceIamInstanceProfileAssociationRequest {
        iam_instance_profile: by_name(name),
        association_id: Some(id.to_owned()),
    };
    let result = replace_iam_instance_profile_association(tx, &request(), input);
    result.map(|result| result.iam_instance_profile_association.unwrap())
}

fn take(tx: &mut Tx, id: &str) -> Result<IamInstanceProfileAssociation, Fault> {
    let input = DisassociateIamInstanceProfileRequest { association_id: Some(id.to_owned()) };
    let result = disassociate_iam_instance_profile(tx, &request(), input);
    result.map(|result| result.iam_instance_profile_association.unwrap())
}

fn describe(tx: &Tx, name: &str, value: &str) -> Vec<IamInstanceProfileAssociation> {
    let input = DescribeIamInstanceProfileAssociationsRequest {
        filters: Some(vec![filter(name, &[value])]),
        ..Default::default()
    };
    let result = describe_iam_instance_profile_associations(tx, &request(), input).unwrap();
    result.iam_instance_profile_associations.unwrap()
}

#[test]
fn a_life_of_associations() {
    use IamInstanceProfileAssociationState::{Associated, Associating, Disassociating};
    let mut tx = with_default_vpc();
    let (web, db) = (profile(&mut tx, "web", true), profile(&mut tx, "db", true));
    let id = instance(&mut tx, InstanceState::Running);
    let first = give(&mut tx, id, "web").unwrap();
    assert_eq!(first.state, Some(Associating));
    let shown = first.iam_instance_profile.unwrap();
    assert_eq!(shown.arn, Some("arn:aws:iam::123456789012:instance-profile/a/web".to_owned()));
    assert_eq!(shown.id, Some(web.named.id.to_string()));
    let fault = give(&mut tx, id, "db").unwrap_err();
    assert_eq!(fault.code, "IncorrectState");
    assert_eq!(fault.message, format!("There is an existing association for instance {id}"));
    let found = describe(&tx, "instance-id", &id.to_string());
    assert_eq!((found.len(), found[0].state), (1, Some(Associated)));
    assert!(describe(&tx, "state", "associating").is_empty());

    let old = first.association_id.unwrap();
    let second = replace(&mut tx, &old, "db").unwrap();
    let new = second.association_id.unwrap();
    assert_ne!(old, new);
    assert_eq!(take(&mut tx, &old).unwrap_err().code, "InvalidAssociationID.NotFound");
    assert_eq!(replace(&mut tx, &old, "db").unwrap_err().code, "InvalidAssociationID.NotFound");
    assert_eq!(describe(&tx, "state", "associated")[0].association_id.as_ref(), Some(&new));
    let row = tx.get::<Instance>(&id).unwrap().clone();
    let shown = instances::to_api(&tx, &row).iam_instance_profile.unwrap();
    assert_eq!(shown.id, Some(db.named.id.to_string()));

    assert_eq!(take(&mut tx, &new).unwrap().state, Some(Disassociating));
    assert!(describe(&tx, "instance-id", &id.to_string()).is_empty());
    assert_eq!(instances::to_api(&tx, &row).iam_instance_profile, None);
}

#[test]
fn what_is_refused() {
    let mut tx = with_default_vpc();
    profile(&mut tx, "bare", false);
    let web = profile(&mut tx, "web", true);
    let id = instance(&mut tx, InstanceState::Running);
    let refused = |tx: &mut Tx, name: &str| give(tx, id, name).unwrap_err().message;
    assert_eq!(
        refused(&mut tx, "none"),
        "Value (none) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance \
         Profile name"
    );
    assert_eq!(refused(&mut tx, "WEB"), refused(&mut tx, "none").replace("none", "WEB"));
    assert_eq!(
        refused(&mut tx, "bare"),
        "IAM Instance Profile \"arn:aws:iam::123456789012:instance-profile/a/bare\" has no \
         associated IAM Roles"
    );
    let specified = |arn: Option<String>, name: Option<&str>| {
        let name = name.map(ToOwned::to_owned);
        let specified = IamInstanceProfileSpecification { arn, name };
        specified_profile(&tx, AccountId::DEFAULT, specified)
    };
    let found = specified(Some(web.arn()), None).unwrap().unwrap();
    assert_eq!(found.named.id, web.named.id);
    let elsewhere = web.arn().replace("/a/", "/b/");
    let fault = specified(Some(elsewhere.clone()), None).unwrap_err();
    assert_eq!(
        fault.message,
        format!(
            "Value ({elsewhere}) for parameter iamInstanceProfile.arn is invalid. Invalid IAM \
             Instance Profile ARN"
        )
    );
    let fault = specified(Some(web.arn()), Some("web")).unwrap_err();
    assert_eq!(fault.code, "InvalidParameterCombination");
    assert!(specified(Some(String::new()), None).unwrap().is_none());
    for state in [InstanceState::Pending, InstanceState::Stopping, InstanceState::Terminated] {
        let id = instance(&mut tx, state);
        let fault = give(&mut tx, id, "web").unwrap_err();
        assert_eq!(fault.code, "IncorrectInstanceState");
        assert!(fault.message.ends_with("is not in the 'running' or 'stopped' states."));
    }
}

#[test]
fn an_identity_follows_profile_and_role() {
    let mut tx = with_default_vpc();
    let web = profile(&mut tx, "web", true);
    let id = instance(&mut tx, InstanceState::Running);
    assert_eq!(identity(&tx, "local", id).unwrap().given, None);
    assert_eq!(identity(&tx, "elsewhere", id), None);
    give(&mut tx, id, "web").unwrap();
    let given = identity(&tx, "local", id).unwrap().given.unwrap();
    assert_eq!((given.role.as_ref(), given.exists), (web.role.as_ref(), true));
    assert_eq!(given.origin.arn, format!("arn:aws:ec2:us-east-1:123456789012:instance/{id}"));
    assert_eq!(given.origin.delivery, "2.0");

    let before = tx.finish().0;
    let effects = |seed| state::Effects::new(Timestamp::from_millis(0), [seed; 32]);
    let touched = |change: &dyn Fn(&mut Tx)| {
        let mut tx = Tx::new(&before, effects(3));
        change(&mut tx);
        let (after, changes) = tx.finish();
        let mut found = Vec::new();
        affected(&after, &changes, &mut |id| found.push(id));
        (after, found)
    };
    let role = web.role.clone().unwrap();
    let (_, found) = touched(&|tx| {
        tx.update::<Role>(&role, |row| row.trust = PolicyText::unread("{ }".to_owned()));
    });
    assert_eq!(found, [id]);
    let (after, found) = touched(&|tx| {
        tx.delete::<InstanceProfile>(&web.named.id);
    });
    assert_eq!(found, [id]);
    let given = identity(&after, "local", id).unwrap().given.unwrap();
    assert_eq!((given.exists, given.role), (false, None));
    let (after, found) = touched(&|tx| forget(tx, id));
    assert_eq!(found, [id]);
    assert_eq!(identity(&after, "local", id).unwrap().given, None);
}
