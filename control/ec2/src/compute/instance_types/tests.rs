//! Tests of the instance types.

use super::*;
use crate::testing::{filter, request, state};

fn describe(input: DescribeInstanceTypesRequest) -> Result<DescribeInstanceTypesResult, Fault> {
    describe_instance_types(&state(), &request(), input)
}

fn names(result: &DescribeInstanceTypesResult) -> Vec<String> {
    let types = result.instance_types.iter().flatten();
    types.filter_map(|row| row.instance_type.clone()).collect()
}

#[test]
fn t3_micro() {
    let row = get("t3.micro").unwrap();
    assert_eq!((row.vcpus, row.default_cores, row.default_threads_per_core), (2, 1, 2));
    assert_eq!((row.memory_mib, row.max_interfaces, row.ipv4_per_interface), (1024, 2, 2));
    assert_eq!(row.max_ebs_attachments, 27);
    assert!(row.burstable && row.free_tier && row.current_generation && !row.bare_metal);
    assert_eq!(row.architectures(), [ArchitectureType::X86_64]);
    assert_eq!(row.valid_threads_per_core(), [1, 2]);
    assert_eq!(row.usage_classes(), [UsageClassType::OnDemand, UsageClassType::Spot]);
    assert!(get("t3.colossal").is_none());
    assert!(all().len() > 1200);
    assert!(all().iter().all(|row| row.vcpus > 0 && row.memory_mib > 0));
}

#[test]
fn every_filter_is_a_path() {
    for name in FILTERS {
        let mut schema = InstanceTypeInfo::SCHEMA;
        for word in name.split('.') {
            let at = member(schema, word).unwrap_or_else(|| panic!("{name}"));
            schema = schema.members()[at].schema;
            if let Kind::List { element, .. } = schema.kind {
                schema = element.schema;
            }
        }
        assert!(schema.members().is_empty(), "{name}");
    }
}

#[test]
fn filters_and_names() {
    let filters = vec![
        filter("instance-type", &["t3.*"]),
        filter("vcpu-info.default-vcpus", &["2"]),
        filter("memory-info.size-in-mib", &["1024"]),
        filter("vcpu-info.valid-threads-per-core", &["1,2"]),
        filter("processor-info.sustained-clock-speed-in-ghz", &["2.5"]),
        filter("supported-boot-mode", &["uefi"]),
    ];
    let input = DescribeInstanceTypesRequest { filters: Some(filters), ..Default::default() };
    assert_eq!(names(&describe(input).unwrap()), ["t3.micro"]);

    let input = DescribeInstanceTypesRequest {
        instance_types: Some(vec!["t9.x".to_owned(), "t3.micro".to_owned(), "a".to_owned()]),
        ..Default::default()
    };
    let fault = describe(input).unwrap_err();
    assert_eq!(fault.code, "InvalidInstanceType");
    assert_eq!(fault.message, "The following supplied instance types do not exist: [a, t9.x]");
}

#[test]
fn pages_cover_the_catalogue() {
    let (mut token, mut seen) = (None, Vec::new());
    loop {
        let input = DescribeInstanceTypesRequest { next_token: token, ..Default::default() };
        let result = describe(input).unwrap();
        seen.extend(names(&result));
        token = result.next_token;
        if token.is_none() {
            break;
        }
    }
    assert!(seen.iter().eq(all().iter().map(|row| &row.name)));
    let input = DescribeInstanceTypesRequest { max_results: Some(101), ..Default::default() };
    assert_eq!(describe(input).unwrap_err().code, "InvalidParameterValue");
}

#[test]
fn offerings() {
    let count = |location_type, filters| {
        let input = DescribeInstanceTypeOfferingsRequest {
            location_type,
            filters: Some(filters),
            ..Default::default()
        };
        let result = describe_instance_type_offerings(&state(), &request(), input).unwrap();
        result.instance_type_offerings.unwrap_or_default()
    };
    let micro = || vec![filter("instance-type", &["t3.micro"])];
    let rows = count(None, micro());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].location.as_deref(), Some("us-east-1"));
    let rows = count(Some(LocationType::AvailabilityZone), micro());
    assert_eq!(rows.iter().filter_map(|row| row.location.as_deref()).count(), 3);
    let rows =
        count(Some(LocationType::AvailabilityZoneId), vec![filter("location", &["use1-az2"])]);
    assert_eq!(rows.len(), 1000);
    assert!(count(Some(LocationType::Outpost), micro()).is_empty());
}
