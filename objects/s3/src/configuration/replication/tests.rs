//! Rules: which are refused, and which are about an object.

use super::*;
use s3s::xml::{Deserialize, Deserializer};

const ROLE: &str = "<Role>arn:aws:iam::111111111111:role/r</Role>";
const TO: &str = "<Destination><Bucket>arn:aws:s3:::to</Bucket></Destination>";
const NO_MARKERS: &str =
    "<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>";

fn read(document: &str) -> dto::ReplicationConfiguration {
    let text = format!("<ReplicationConfiguration>{document}</ReplicationConfiguration>");
    let mut reader = Deserializer::new(text.as_bytes());
    dto::ReplicationConfiguration::deserialize(&mut reader).expect("a document")
}

fn rule(inner: &str) -> String {
    format!("<Rule><Status>Enabled</Status>{inner}</Rule>")
}

fn second(priority: i32, more: &str) -> String {
    rule(&format!("<Priority>{priority}</Priority>{NO_MARKERS}{more}"))
}

fn taken(rules: &str) -> S3Result<dto::ReplicationConfiguration> {
    let mut count = 0;
    take(read(&format!("{ROLE}{rules}")), || {
        count += 1;
        format!("made-{count}")
    })
}

#[test]
fn what_is_refused() {
    let plain = second(1, &format!("<Filter/>{TO}"));
    let same = second(1, &format!("<Filter><Prefix>x</Prefix></Filter>{TO}"));
    let first = |prefix: &str| rule(&format!("<Prefix>{prefix}</Prefix>{TO}"));
    let with = |more: &str| {
        let to = format!("<Destination><Bucket>arn:aws:s3:::to</Bucket>{more}</Destination>");
        second(1, &format!("<Filter/>{to}"))
    };
    let encryption = "<EncryptionConfiguration><ReplicaKmsKeyID>k</ReplicaKmsKeyID>\
                      </EncryptionConfiguration>";
    let by_kms = "<SourceSelectionCriteria><SseKmsEncryptedObjects><Status>Enabled</Status>\
                  </SseKmsEncryptedObjects></SourceSelectionCriteria>";
    let rtc = "<ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time>\
               </ReplicationTime>";
    let metrics = "<Metrics><Status>Enabled</Status><EventThreshold><Minutes>15</Minutes>\
                   </EventThreshold></Metrics>";
    let markers = "<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>";
    let tag = "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter>";
    let existing =
        "<ExistingObjectReplication><Status>Enabled</Status></ExistingObjectReplication>";
    let table = [
        (plain.clone(), None),
        (first("a/") + &first("b/"), None),
        (with(&format!("{rtc}{metrics}")), None),
        (with("<StorageClass>GLACIER_IR</StorageClass>"), None),
        (
            second(
                1,
                &format!(
                    "<Filter/>{by_kms}<Destination><Bucket>arn:aws:s3:::to</Bucket>\
            {encryption}</Destination>"
                ),
            ),
            None,
        ),
        (rule(TO), Some("MalformedXML")),
        (plain.clone() + &same, Some("InvalidRequest")),
        (plain.clone() + &first("a"), Some("MalformedXML")),
        (first("a/") + &first("a/b"), Some("InvalidRequest")),
        (first("a") + &first("a"), Some("InvalidRequest")),
        (rule(&format!("<Filter/><Priority>1</Priority>{TO}")), Some("InvalidRequest")),
        (rule(&format!("<Filter/>{NO_MARKERS}{TO}")), Some("InvalidRequest")),
        (rule(&format!("{tag}{markers}<Priority>1</Priority>{TO}")), Some("InvalidRequest")),
        (second(1, &format!("<Filter/>{existing}{TO}")), Some("MalformedXML")),
        (with("<StorageClass>COLD</StorageClass>"), Some("MalformedXML")),
        (with(encryption), Some("InvalidRequest")),
        (with(rtc), Some("InvalidRequest")),
        (with(&rtc.replace("15", "16")), Some("InvalidArgument")),
        (with("<Account>1</Account>"), Some("InvalidArgument")),
        (
            with("<AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation>"),
            Some("InvalidRequest"),
        ),
        (second(1, &format!("<Filter/>{by_kms}{TO}")), Some("InvalidRequest")),
        (
            second(1, "<Filter/><Destination><Bucket>to</Bucket></Destination>"),
            Some("InvalidArgument"),
        ),
    ];
    for (rules, code) in table {
        let found = taken(&rules).err().map(|error| error.code().as_str().to_owned());
        assert_eq!(found.as_deref(), code, "{rules}");
    }
    for role in ["", "arn:aws:iam::1:role/r", "arn:aws:iam::111111111111:user/r"] {
        let document = format!("<Role>{role}</Role>{plain}");
        let refused = take(read(&document), String::new).expect_err("no role");
        assert_eq!(refused.code().as_str(), "InvalidArgument", "{role}");
    }
    assert_eq!(taken(&plain).expect("fine").rules[0].id.as_deref(), Some("made-1"));
}

#[test]
fn which_rules_are_about_what() {
    let to =
        |name: &str| format!("<Destination><Bucket>arn:aws:s3:::{name}</Bucket></Destination>");
    let markers = "<DeleteMarkerReplication><Status>Enabled</Status></DeleteMarkerReplication>";
    let rules = [
        second(1, &format!("<Filter><Prefix>a/</Prefix></Filter>{}", to("one"))),
        second(
            2,
            &format!(
                "<Filter><And><Prefix>a/</Prefix><Tag><Key>t</Key><Value>v</Value></Tag></And>\
                 </Filter>{}",
                to("two")
            ),
        ),
        rule(&format!("<Filter/><Priority>3</Priority>{markers}{}", to("three"))),
        second(9, &format!("<Filter><Prefix>a/b</Prefix></Filter>{}", to("one"))),
        format!(
            "<Rule><Status>Disabled</Status><Filter/><Priority>8</Priority>{NO_MARKERS}{}</Rule>",
            to("never")
        ),
    ];
    let configuration = taken(&rules.concat()).expect("fine");
    let tagged = [("t".to_owned(), "v".to_owned())];
    let of = |key, tags: Option<&[(String, String)]>, by_kms, replica| {
        let subject = Subject { key, tags, by_kms, replica };
        targets(&configuration, &subject).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(of("a/x", Some(&[]), false, false), ["one", "three"]);
    assert_eq!(of("a/x", Some(&tagged), false, false), ["one", "three", "two"]);
    assert_eq!(of("b", Some(&tagged), false, false), ["three"]);
    assert_eq!(of("a/x", None, false, false), ["three"]);
    assert!(of("a/x", Some(&[]), true, false).is_empty());
    assert!(of("a/x", Some(&[]), false, true).is_empty());
    let subject = Subject { key: "a/bc", tags: Some(&[]), by_kms: false, replica: false };
    let rule = rule_to(&configuration, "one", &subject).expect("a rule");
    assert_eq!(rule.priority, Some(9));
    assert!(rule_to(&configuration, "never", &subject).is_none());
}

#[test]
fn the_first_form_copies_delete_markers() {
    let first = taken(&rule(&format!("<Prefix/>{TO}"))).expect("fine");
    let subject = Subject { key: "k", tags: None, by_kms: false, replica: false };
    assert_eq!(targets(&first, &subject).len(), 1);
}
