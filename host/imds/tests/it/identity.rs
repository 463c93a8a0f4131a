//! What proves an instance's identity: profile, credentials, signatures.

use crate::{NOW, metadata};
use contracts::instance_identity::{Credentials, Gives, InstanceIdentity, Profile, SignedDocument};
use imds::{Documents, Method, Request, Service};

const IAM: &str = "/latest/meta-data/iam";
const ARN: &str = "arn:aws:iam::123456789012:instance-profile/web";

fn with(gives: Gives) -> InstanceIdentity {
    let metadata = metadata();
    let profile = Profile { arn: ARN.to_owned(), id: "AIPA1".to_owned(), updated: NOW, gives };
    InstanceIdentity {
        instance: metadata.instance,
        signed: SignedDocument {
            document: "{\n}".to_owned(),
            signature: "c2ln".to_owned(),
            pkcs7: "cGtj\nczc=".to_owned(),
        },
        profile: Some(profile),
    }
}

fn role() -> Gives {
    let credentials = Credentials {
        access_key_id: "ASIA1".to_owned(),
        secret: "secret/+\"".to_owned(),
        token: "token==".to_owned(),
        expires: NOW.plus_millis(6 * 3600 * 1000),
    };
    Gives::Role { role: "web-role".to_owned(), credentials }
}

/// Status and body of a path.
fn get(identity: Option<&InstanceIdentity>, path: &str) -> (u16, String) {
    let mut metadata = metadata();
    metadata.options.token_required = false;
    let documents = Documents { metadata: &metadata, identity };
    let request = Request::new(Method::Get, path, &[]);
    let response = Service::new([3; 32]).respond(documents, &request, NOW);
    (response.status, String::from_utf8(response.body).unwrap())
}

#[test]
fn credentials_of_a_role() {
    let identity = with(role());
    for (path, expected) in [
        ("", "info\nsecurity-credentials/"),
        ("/", "info\nsecurity-credentials/"),
        (
            "/info",
            "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-11-22T13:07:09Z\",\n  \
             \"InstanceProfileArn\" : \"arn:aws:iam::123456789012:instance-profile/web\",\n  \
             \"InstanceProfileId\" : \"AIPA1\"\n}",
        ),
        ("/security-credentials", "web-role"),
        ("/security-credentials/", "web-role"),
        (
            "/security-credentials/web-role",
            "{\n  \"Code\" : \"Success\",\n  \"LastUpdated\" : \"2026-11-22T13:07:09Z\",\n  \
             \"Type\" : \"AWS-HMAC\",\n  \"AccessKeyId\" : \"ASIA1\",\n  \
             \"SecretAccessKey\" : \"secret/+\\\"\",\n  \"Token\" : \"token==\",\n  \
             \"Expiration\" : \"2026-11-22T19:07:09Z\"\n}",
        ),
    ] {
        assert_eq!(
            get(Some(&identity), &format!("{IAM}{path}")),
            (200, expected.to_owned()),
            "{path}"
        );
    }
    let (_, listing) = get(Some(&identity), "/latest/meta-data/");
    assert!(listing.contains("hostname\niam/\ninstance-action"), "{listing}");
    assert_eq!(get(Some(&identity), &format!("{IAM}/security-credentials/other")).0, 404);
    assert!(!format!("{identity:?}").contains("secret/"), "no secret in a log");
}

#[test]
fn profiles_that_give_nothing() {
    let refused = with(Gives::NotTrusted { role: "web-role".to_owned() });
    let (status, info) = get(Some(&refused), &format!("{IAM}/info"));
    assert_eq!(status, 200);
    assert!(info.contains("\"Code\" : \"Success\"") && info.contains(ARN), "{info}");
    let (status, text) = get(Some(&refused), &format!("{IAM}/security-credentials/web-role"));
    assert_eq!(status, 200);
    assert!(text.starts_with("{\n  \"Code\" : \"AssumeRoleUnauthorizedAccess\",\n"), "{text}");
    assert!(text.contains("\"Message\" : \"EC2 cannot assume the role web-role."), "{text}");
    for (gives, expected) in [
        (Gives::NoRole, "\"Message\" : \"Instance Profile does not contain a role"),
        (Gives::Deleted, "\"Code\" : \"InstanceProfileNotFound\""),
    ] {
        let identity = with(gives);
        let (status, info) = get(Some(&identity), &format!("{IAM}/info"));
        assert!(status == 200 && info.contains(expected), "{info}");
        assert_eq!(get(Some(&identity), &format!("{IAM}/security-credentials/")).0, 404);
    }
    let without = InstanceIdentity { profile: None, ..with(Gives::NoRole) };
    for identity in [None, Some(&without)] {
        for path in ["", "/info", "/security-credentials/"] {
            assert_eq!(get(identity, &format!("{IAM}{path}")).0, 404, "{path}");
        }
    }
}

#[test]
fn signatures() {
    let identity = with(Gives::NoRole);
    for (path, expected) in [
        ("", "document\npkcs7\nrsa2048\nsignature"),
        ("document", "{\n}"),
        ("pkcs7", "cGtj\nczc="),
        ("rsa2048", "cGtj\nczc="),
        ("signature", "c2ln"),
    ] {
        let path = format!("/latest/dynamic/instance-identity/{path}");
        assert_eq!(get(Some(&identity), &path), (200, expected.to_owned()), "{path}");
    }
    let (status, document) = get(None, "/latest/dynamic/instance-identity/document");
    assert_eq!((status, document), (200, metadata().identity_document()));
}
