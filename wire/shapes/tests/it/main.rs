//! The generated types against the tables they come with.

use shapes::{Operation, Shape, Structure, Value, View, ec2, sts};

#[test]
fn a_structure_takes_and_shows_its_members_by_index() {
    let index = |name: &str| {
        let members = ec2::RunInstancesRequest::SCHEMA.members();
        members.iter().position(|member| member.name == name).expect("a member")
    };
    let given = Value::Structure(vec![
        (index("ImageId"), Value::String("ami-1".to_owned())),
        (index("SecurityGroupIds"), Value::List(vec![Value::String("sg-1".to_owned())])),
        (index("DryRun"), Value::Boolean(true)),
    ]);
    let request = ec2::RunInstancesRequest::from_value(given).expect("a structure");
    assert_eq!(request.image_id.as_deref(), Some("ami-1"));
    assert_eq!(request.security_group_ids, Some(vec!["sg-1".to_owned()]));
    assert_eq!(request.dry_run, Some(true));
    let View::Structure(members) = request.view() else { panic!("not a structure") };
    assert!(matches!(members.member(index("ImageId")), Some(View::String("ami-1"))));
    assert!(members.member(index("KeyName")).is_none());
}

#[test]
fn enumerations_read_what_they_write() {
    for state in ec2::InstanceStateName::ALL {
        assert_eq!(state.as_str().parse(), Ok(*state));
    }
    assert!("ponding".parse::<ec2::InstanceStateName>().is_err());
}

#[test]
fn services_know_their_operations() {
    for service in [&ec2::SERVICE, &sts::SERVICE] {
        assert!(service.operations.is_sorted());
        assert!(service.served.is_sorted_by_key(|served| served.name));
        assert!(service.served.iter().all(|served| service.knows(served.name)));
    }
    assert_eq!(ec2::SERVICE.namespace, "http://ec2.amazonaws.com/doc/2016-11-15/");
    assert_eq!(sts::ops::GetCallerIdentity::NAME, "GetCallerIdentity");
    assert!(ec2::SERVICE.served("RunInstances").is_some());
    assert!(ec2::SERVICE.served("RunInstance").is_none());
}
