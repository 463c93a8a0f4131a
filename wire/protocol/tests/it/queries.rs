//! Queries to real operations, good and bad.

use protocol::form::Form;
use protocol::{Answer, decode, encode};
use shapes::{Fault, Operation, ec2, iam, sts};
use types::Timestamp;

fn input<O: Operation>(query: &str) -> Result<O::Input, Fault> {
    decode::<O>(&Form::parse(query.as_bytes()).unwrap().into())
}

fn refused<O: Operation>(query: &str) -> (String, String)
where
    O::Input: std::fmt::Debug,
{
    let fault = input::<O>(query).unwrap_err();
    assert_eq!(fault.status, 400);
    (fault.code.into_owned(), fault.message)
}

#[test]
fn lists_may_have_gaps_and_come_in_any_order() {
    let request = input::<ec2::ops::DescribeInstances>(
        "Action=DescribeInstances&Version=2016-11-15&X-Amz-Date=x&Filter.4000000000.Name=tag:a\
         &Filter.2.Value.10=j&Filter.2.Value.9=i&Filter.2.Name=vpc-id&Filter.4000000000.Value.1=\
         &InstanceId.1=i-1&InstanceId.1=i-2&MaxResults=5&DryRun=TRUE",
    );
    let filter = |name: &str, values: &[&str]| ec2::Filter {
        name: Some(name.to_owned()),
        values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
    };
    assert_eq!(
        request,
        Ok(ec2::DescribeInstancesRequest {
            instance_ids: Some(vec!["i-1".to_owned()]),
            filters: Some(vec![filter("vpc-id", &["i", "j"]), filter("tag:a", &[""])]),
            max_results: Some(5),
            dry_run: Some(true),
            ..ec2::DescribeInstancesRequest::default()
        })
    );
}

#[test]
fn ec2_refuses_in_its_own_words() {
    use ec2::ops::{DescribeInstances, ImportKeyPair, RebootInstances, RunInstances};
    let unknown = |name: &str| {
        ("UnknownParameter".to_owned(), format!("The parameter {name} is not recognized"))
    };
    let missing = |name: &str| {
        ("MissingParameter".to_owned(), format!("The request must contain the parameter {name}"))
    };
    let invalid = |message: &str| ("InvalidParameterValue".to_owned(), message.to_owned());
    for name in [
        "Bogus",
        "instanceId.1",
        "InstanceId.one",
        "InstanceId.1.2",
        "InstanceId.01",
        "InstanceId.-1",
        "InstanceId.99999999999999999999",
        "Filter.1.Bogus",
        "Filter.1.Value.1.2",
        "MaxResults.1",
        "..",
    ] {
        assert_eq!(refused::<DescribeInstances>(&format!("{name}=1")), unknown(name));
    }
    assert_eq!(refused::<DescribeInstances>("InstanceId=i-1"), unknown("InstanceId"));
    assert_eq!(refused::<RunInstances>("MinCount=1"), missing("MaxCount"));
    assert_eq!(refused::<RebootInstances>(""), missing("InstanceId"));
    assert_eq!(
        refused::<RunInstances>("MaxCount=1&MinCount=1&Placement.Tenancy=odd"),
        invalid("Value (odd) for parameter Placement.Tenancy is invalid.")
    );
    assert_eq!(
        refused::<RunInstances>("MaxCount=2147483648&MinCount=1"),
        invalid("Value (2147483648) for parameter MaxCount is invalid. Must be an integer")
    );
    assert_eq!(
        refused::<DescribeInstances>("DryRun=yes"),
        invalid("Value (yes) for parameter DryRun is invalid. Must be true or false")
    );
    assert_eq!(
        refused::<ImportKeyPair>("KeyName=k&PublicKeyMaterial=!"),
        invalid("Value (!) for parameter PublicKeyMaterial is invalid. Must be base64-encoded")
    );
}

#[test]
fn nested_members_are_required_by_their_path() {
    let nested = refused::<ec2::ops::RunInstances>(
        "MaxCount=1&MinCount=1&ElasticInferenceAccelerator.3.Count=1",
    );
    assert_eq!(
        nested.1,
        "The request must contain the parameter ElasticInferenceAccelerator.3.Type"
    );
}

#[test]
fn query_services_pass_over_what_they_do_not_know() {
    assert!(input::<sts::ops::GetCallerIdentity>("Action=GetCallerIdentity&Bogus=1").is_ok());
}

#[test]
fn outputs_are_written_as_aws_writes_them() {
    let output = ec2::Reservation {
        reservation_id: Some("r-1".to_owned()),
        groups: Some(vec![]),
        instances: Some(vec![ec2::Instance {
            instance_id: Some("i-1".to_owned()),
            launch_time: Some(Timestamp::from_millis(1_420_070_400_000)),
            state: Some(ec2::InstanceState {
                code: Some(0),
                name: Some(ec2::InstanceStateName::Pending),
            }),
            ..ec2::Instance::default()
        }]),
        ..ec2::Reservation::default()
    };
    let Answer { status, body, .. } = encode::<ec2::ops::RunInstances>(&output, "id-1");
    assert_eq!(status, 200);
    assert!(body.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<RunInstancesResponse \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>id-1</requestId>"
    ));
    assert!(body.contains("<groupSet></groupSet>"));
    assert!(body.contains("<launchTime>2015-01-01T00:00:00.000Z</launchTime>"));
    assert!(body.contains("<instanceState><code>0</code><name>pending</name></instanceState>"));
    assert!(!body.contains("ownerId"));
}

#[test]
fn empty_outputs_say_true() {
    let answer = encode::<ec2::ops::DeleteVpc>(&ec2::DeleteVpcResponse::default(), "id-1").body;
    assert!(
        answer.ends_with("<requestId>id-1</requestId><return>true</return></DeleteVpcResponse>")
    );
}

#[test]
fn callers_learn_who_they_are() {
    let output = sts::GetCallerIdentityResponse {
        account: Some("123456789012".to_owned()),
        ..sts::GetCallerIdentityResponse::default()
    };
    assert_eq!(
        encode::<sts::ops::GetCallerIdentity>(&output, "id-1").body,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<GetCallerIdentityResponse \
         xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Account>123456789012</Account></GetCallerIdentityResult>\
         <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    );
}

#[test]
fn limits_of_the_model_are_told_in_its_words() {
    let create = |query: &str| {
        let (code, message) = refused::<iam::ops::CreateUser>(query);
        assert_eq!(code, "ValidationError");
        message
    };
    let long = "a".repeat(65);
    assert_eq!(
        create(&format!("Action=CreateUser&UserName={long}")),
        format!(
            "1 validation error detected: Value '{long}' at 'userName' failed to satisfy \
             constraint: Member must have length less than or equal to 64"
        )
    );
    assert_eq!(
        create("Action=CreateUser&UserName=a%20b"),
        "The specified value for userName is invalid. It must contain only alphanumeric \
         characters and/or the following: +=,.@_-"
    );
    let two = create("UserName=a&Tags.member.1.Key=&Tags.member.1.Value=%23");
    assert!(
        two.starts_with("3 validation errors detected: Value '' at 'tags.1.member.key'"),
        "{two}"
    );
    let many = (1..=2000).map(|at| format!("&Tags.member.{at}.Key=%23&Tags.member.{at}.Value="));
    let many = create(&format!("UserName=a{}", many.collect::<String>()));
    assert!(many.starts_with("2001 validation errors detected: "), "{many}");
    assert!(many.len() < 4096, "a message lists the first ones");
    let secret = refused::<iam::ops::CreateLoginProfile>("UserName=u&Password=%E2%82%AC").1;
    assert!(!secret.contains('\u{20ac}'), "{secret}");
    let (_, range) = refused::<iam::ops::ListUsers>("MaxItems=0");
    assert!(range.ends_with("Member must have value greater than or equal to 1"), "{range}");
    assert!(input::<iam::ops::CreateUser>("UserName=a.b&Path=/x/").is_ok());
}

#[test]
fn an_output_without_members_has_an_empty_result_if_the_model_has_it() {
    let body = encode::<iam::ops::UpdateRole>(&iam::UpdateRoleResponse {}, "1").body;
    assert!(
        body.contains("<UpdateRoleResult/>") || body.contains("<UpdateRoleResult></"),
        "{body}"
    );
    let body = encode::<iam::ops::DeleteUser>(&iam::DeleteUserResponse {}, "1").body;
    assert!(!body.contains("Result"), "{body}");
}
