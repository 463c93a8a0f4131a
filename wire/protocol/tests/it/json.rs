//! Calls of a JSON service, good and bad.

use http::HeaderMap;
use protocol::sigv4::SigV4Error;
use protocol::{Payload, decode, encode, fault};
use shapes::{Fault, Operation, kms};
use types::Timestamp;

fn input<O: Operation>(body: &str) -> Result<O::Input, Fault> {
    decode::<O>(&Payload::Json { target: "TrentService.Any", body: body.as_bytes() })
}

fn refused<O: Operation>(body: &str) -> (String, String)
where
    O::Input: std::fmt::Debug,
{
    let fault = input::<O>(body).unwrap_err();
    assert_eq!(fault.status, 400);
    (fault.code.into_owned(), fault.message)
}

#[test]
fn unknown_members_and_nulls_are_passed_over() {
    let read = input::<kms::ops::ListKeys>(r#"{"Limit": 7, "Marker": null, "X": {"Limit": [8]}}"#);
    assert_eq!(read, Ok(kms::ListKeysRequest { limit: Some(7), marker: None }));
    for nothing in ["", "{}", "null", " \n{ }"] {
        assert_eq!(input::<kms::ops::ListKeys>(nothing), Ok(kms::ListKeysRequest::default()));
    }
    let read = input::<kms::ops::ListKeys>(r#"{"Limit": 1, "Limit": 2}"#);
    assert_eq!(read.unwrap().limit, Some(2));
}

#[test]
fn times_and_blobs_are_read() {
    let body = r#"{"KeyId": "k", "ImportToken": "AQI=", "EncryptedKeyMaterial": "AQ",
        "ValidTo": 1700000000.25}"#;
    let read = input::<kms::ops::ImportKeyMaterial>(body).unwrap();
    assert_eq!((read.import_token, read.encrypted_key_material), (Some(vec![1, 2]), Some(vec![1])));
    assert_eq!(read.valid_to, Some(Timestamp::from_millis(1_700_000_000_250)));
}

#[test]
fn other_types_are_refused() {
    for body in [
        r#"{"Limit": "7"}"#,
        r#"{"Limit": 7.5}"#,
        r#"{"Limit": 3000000000}"#,
        r#"{"Limit": true}"#,
        r#"{"Limit": [7]}"#,
        r#"{"Limit": {}}"#,
        r#"{"Marker": 7}"#,
        "[]",
        "7",
        "{",
        "{} {}",
        "\u{feff}{}",
    ] {
        assert_eq!(refused::<kms::ops::ListKeys>(body).0, "SerializationException", "{body}");
    }
    let body = r#"{"KeyId": "k", "Plaintext": "§"}"#;
    assert_eq!(refused::<kms::ops::Encrypt>(body).0, "SerializationException");
}

#[test]
fn missing_members_and_unknown_words_are_named() {
    let null = "failed to satisfy constraint: Member must not be null";
    assert_eq!(
        refused::<kms::ops::DescribeKey>("{}"),
        (
            "ValidationException".to_owned(),
            format!("1 validation error detected: Value null at 'keyId' {null}")
        )
    );
    let body = r#"{"KeyId": "k", "Tags": [{"TagKey": "a", "TagValue": "b"}, {"TagValue": "b"}]}"#;
    assert_eq!(
        refused::<kms::ops::TagResource>(body).1,
        format!("1 validation error detected: Value null at 'tags.2.member.tagKey' {null}")
    );
    let (code, message) = refused::<kms::ops::CreateKey>(r#"{"Origin": "MOON"}"#);
    assert_eq!(code, "ValidationException");
    assert_eq!(
        message,
        "1 validation error detected: Value 'MOON' at 'origin' failed to satisfy constraint: \
         Member must satisfy enum value set: [AWS_KMS, EXTERNAL, AWS_CLOUDHSM, EXTERNAL_KEY_STORE]"
    );
}

#[test]
fn answers_and_faults_are_json() {
    let metadata = kms::KeyMetadata {
        key_id: Some("k\"\u{1}é".to_owned()),
        creation_date: Some(Timestamp::from_millis(1_700_000_000_250)),
        enabled: Some(true),
        ..kms::KeyMetadata::default()
    };
    let output = kms::DescribeKeyResponse { key_metadata: Some(metadata) };
    let answer = encode::<kms::ops::DescribeKey>(&output, "id");
    assert_eq!((answer.status, answer.content_type), (200, "application/x-amz-json-1.1"));
    assert_eq!(
        answer.body,
        "{\"KeyMetadata\":{\"KeyId\":\"k\\\"\\u0001é\",\"CreationDate\":1700000000.250,\
         \"Enabled\":true}}"
    );
    let answer = fault(&kms::SERVICE, &Fault::sender("NotFoundException", "No key"), "id");
    assert_eq!((answer.status, answer.content_type), (400, "application/x-amz-json-1.1"));
    assert_eq!(answer.body, "{\"__type\":\"NotFoundException\",\"message\":\"No key\"}");
    let answer = fault(&kms::SERVICE, &Fault::sender("InvalidCiphertextException", ""), "id");
    assert_eq!(answer.body, "{\"__type\":\"InvalidCiphertextException\"}");
    let unknown = SigV4Error::UnknownKey.fault(kms::SERVICE.protocol);
    assert_eq!((unknown.code.as_ref(), unknown.status), ("UnrecognizedClientException", 400));
}

#[test]
fn the_target_names_the_operation() {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-target", "TrentService.ListKeys".parse().unwrap());
    let payload = Payload::read(&headers, "Action=RunInstances", b"").unwrap();
    assert_eq!((payload.target(), payload.action()), (Some("TrentService"), Some("ListKeys")));
    let without = HeaderMap::new();
    let payload = Payload::read(&without, "Action=ListKeys", b"").unwrap();
    assert_eq!((payload.target(), payload.action()), (None, Some("ListKeys")));
    assert_eq!(decode::<kms::ops::ListKeys>(&payload).unwrap_err().code, "UnsupportedProtocol");
}
