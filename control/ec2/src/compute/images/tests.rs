//! Tests of the images.

use super::*;
use crate::testing::{filter, request, tx};

fn quick_start(name: &str, content: &str) -> QuickStart {
    QuickStart {
        name: name.to_owned(),
        description: "A test".to_owned(),
        content: content.to_owned(),
        size_gib: 1,
        root_device_name: "/dev/xvda".to_owned(),
        boot_mode: "legacy-bios".to_owned(),
        architecture: "x86_64".to_owned(),
        login: "ec2-user".to_owned(),
        creation: Timestamp::from_millis(1_700_000_000_000),
    }
}

fn names(tx: &Tx, input: DescribeImagesRequest) -> Result<Vec<String>, Fault> {
    let result = describe_images(tx.state(), &request(), input)?;
    let mut names: Vec<_> =
        result.images.into_iter().flatten().filter_map(|image| image.name).collect();
    names.sort();
    Ok(names)
}

fn owned_image(tx: &mut Tx) -> ImageId {
    let id = register_quick_start(tx, quick_start("mine", "c"));
    tx.update::<Image>(&id, |row| {
        row.scope = Some(request().scope);
        row.owner = AccountId::DEFAULT;
        row.owner_alias = None;
        row.public = false;
    });
    id
}

#[test]
fn quick_start_images_come_and_go() {
    let mut tx = tx();
    let tiny = register_quick_start(&mut tx, quick_start("fogbank-tiny-1", "a"));
    let debian = register_quick_start(&mut tx, quick_start("fogbank-debian-12", "b"));
    assert_ne!(tiny, debian);
    let again = quick_start("fogbank-tiny-1", "a");
    assert_eq!(register_quick_start(&mut tx, again), tiny);
    assert_eq!(tx.count::<Image>(), 2);
    assert_eq!(names(&tx, Default::default()).unwrap(), ["fogbank-debian-12", "fogbank-tiny-1"]);

    retire_missing(&mut tx, &["b"]);
    assert_eq!(names(&tx, Default::default()).unwrap(), ["fogbank-debian-12"]);
    assert_eq!(tx.count::<Snapshot>(), 2);
    let image_ids = Some(vec![tiny.to_string()]);
    let input = DescribeImagesRequest { image_ids, ..Default::default() };
    let fault = names(&tx, input).unwrap_err();
    assert_eq!(fault.code, "InvalidAMIID.NotFound");
    assert_eq!(fault.message, format!("The image id '[{tiny}]' does not exist"));
}

#[test]
fn owners_users_and_filters() {
    let mut tx = tx();
    register_quick_start(&mut tx, quick_start("fogbank-tiny-1", "a"));
    owned_image(&mut tx);
    let words = |word: &str| Some(vec![word.to_owned()]);
    for (word, expected) in [
        ("amazon", vec!["fogbank-tiny-1"]),
        ("000000000000", vec!["fogbank-tiny-1"]),
        ("self", vec!["mine"]),
        ("aws-marketplace", vec![]),
    ] {
        let input = DescribeImagesRequest { owners: words(word), ..Default::default() };
        assert_eq!(names(&tx, input).unwrap(), expected, "{word}");
    }
    for (word, expected) in [("all", vec!["fogbank-tiny-1"]), ("self", vec![])] {
        let input = DescribeImagesRequest { executable_users: words(word), ..Default::default() };
        assert_eq!(names(&tx, input).unwrap(), expected, "{word}");
    }
    let filters = vec![
        filter("name", &["fogbank-*"]),
        filter("architecture", &["x86_64"]),
        filter("root-device-type", &["ebs"]),
        filter("virtualization-type", &["hvm"]),
        filter("owner-alias", &["amazon"]),
        filter("state", &["available"]),
        filter("creation-date", &["2023-11-14T*"]),
    ];
    let input = DescribeImagesRequest { filters: Some(filters), ..Default::default() };
    assert_eq!(names(&tx, input).unwrap(), ["fogbank-tiny-1"]);
}

#[test]
fn attributes_are_the_owners() {
    let mut tx = tx();
    let public = register_quick_start(&mut tx, quick_start("fogbank-tiny-1", "a"));
    let own = owned_image(&mut tx);
    let describe = |id: ImageId, attribute| {
        let image_id = Some(id.to_string());
        let input = DescribeImageAttributeRequest { attribute, image_id, dry_run: None };
        describe_image_attribute(tx.state(), &request(), input)
    };
    let fault = describe(public, Some(ImageAttributeName::Description)).unwrap_err();
    assert_eq!(fault.message, format!("Not authorized for image:{public}"));
    assert_eq!(describe(own, None).unwrap_err().code, "MissingParameter");
    for &attribute in ImageAttributeName::ALL {
        assert_eq!(describe(own, Some(attribute)).unwrap().image_id, Some(own.to_string()));
    }
    let mapping = describe(own, Some(ImageAttributeName::BlockDeviceMapping)).unwrap();
    let ebs = mapping.block_device_mappings.unwrap().remove(0).ebs.unwrap();
    assert_eq!((ebs.volume_size, ebs.volume_type), (Some(1), Some(VolumeType::Gp3)));
}
