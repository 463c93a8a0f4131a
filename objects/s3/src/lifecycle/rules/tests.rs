//! Lifecycle rules by tables.

use super::*;

fn lifecycle(rules: &str) -> Lifecycle {
    let rules: Vec<dto::LifecycleRule> = serde_json::from_str(rules).expect(rules);
    crate::configuration::lifecycle::take(rules, None, || "r".to_owned()).expect("valid")
}

fn at(text: &str) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let date = time::OffsetDateTime::parse(text, format).expect(text);
    date.unix_timestamp() * 1000
}

#[test]
fn midnight() {
    let table = [
        // Created, days, due: the first is of S3's own documentation.
        ("2014-01-15T10:30:00Z", 3, "2014-01-19T00:00:00Z"),
        ("2014-01-15T00:00:00Z", 1, "2014-01-16T00:00:00Z"),
        ("2014-01-15T00:00:01Z", 1, "2014-01-17T00:00:00Z"),
        ("2014-01-15T23:59:59Z", 1, "2014-01-17T00:00:00Z"),
        ("2016-02-28T12:00:00Z", 1, "2016-03-01T00:00:00Z"),
        ("1969-12-30T12:00:00Z", 1, "1970-01-01T00:00:00Z"),
    ];
    for (created, days, due) in table {
        assert_eq!(Calendar::default().due(at(created), days), at(due), "{created} {days}");
    }
    assert_eq!(Calendar { day_ms: 10_000 }.due(1_234, 3), 31_234);
    assert_eq!(Calendar { day_ms: i64::MAX }.due(1, i32::MAX), i64::MAX);
}

/// Rules, state, key, size, days since creation or since noncurrent, fate.
const CASES: &[(&str, &str, &str, u64, i64, &str)] = &[
    (
        r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
        "current",
        "a/x",
        1,
        4,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
        "current",
        "a/x",
        1,
        6,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","prefix":"a/","expiration":{"days":5}}]"#,
        "current",
        "b/x",
        1,
        6,
        "Keep",
    ),
    (
        r#"[{"status":"Disabled","prefix":"","expiration":{"days":5}}]"#,
        "current",
        "a",
        1,
        6,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
        "noncurrent",
        "a",
        1,
        6,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
        "marker",
        "a",
        1,
        6,
        "Remove",
    ),
    (r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#, "marker", "a", 1, 2, "Keep"),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"days":5}}]"#,
        "marker over",
        "a",
        1,
        6,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
        "marker",
        "a",
        1,
        0,
        "Remove",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
        "marker over",
        "a",
        1,
        0,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":false}}]"#,
        "marker",
        "a",
        1,
        9,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"expired_object_delete_marker":true}}]"#,
        "current",
        "a",
        1,
        99,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","filter":{"tag":{"key":"t","value":"v"}},"expiration":{"days":1}}]"#,
        "current",
        "a",
        1,
        3,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","filter":{"tag":{"key":"t","value":"w"}},"expiration":{"days":1}}]"#,
        "current",
        "a",
        1,
        3,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","filter":{"object_size_greater_than":10},"expiration":{"days":1}}]"#,
        "current",
        "a",
        10,
        3,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","filter":{"object_size_greater_than":10},"expiration":{"days":1}}]"#,
        "current",
        "a",
        11,
        3,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","filter":{"object_size_less_than":10},"expiration":{"days":1}}]"#,
        "current",
        "a",
        10,
        3,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","filter":{"and":{"prefix":"a","tags":[{"key":"t","value":"v"}],"object_size_less_than":10}},"expiration":{"days":1}}]"#,
        "current",
        "ab",
        9,
        3,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","filter":{"and":{"prefix":"b","tags":[{"key":"t","value":"v"}],"object_size_less_than":10}},"expiration":{"days":1}}]"#,
        "current",
        "ab",
        9,
        3,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2}}]"#,
        "noncurrent",
        "a",
        1,
        3,
        "Remove",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2}}]"#,
        "noncurrent",
        "a",
        1,
        1,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2,"newer_noncurrent_versions":2}}]"#,
        "noncurrent",
        "a",
        1,
        9,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","noncurrent_version_expiration":{"noncurrent_days":2,"newer_noncurrent_versions":1}}]"#,
        "noncurrent",
        "a",
        1,
        9,
        "Remove",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"},{"days":60,"storage_class":"GLACIER"}]}]"#,
        "current",
        "a",
        200_000,
        40,
        "STANDARD_IA",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"},{"days":60,"storage_class":"GLACIER"}]}]"#,
        "current",
        "a",
        200_000,
        70,
        "GLACIER",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"STANDARD_IA"}]}]"#,
        "current",
        "a",
        1000,
        40,
        "Keep",
    ),
    (
        r#"[{"status":"Enabled","filter":{"object_size_greater_than":500},"transitions":[{"days":30,"storage_class":"STANDARD_IA"}]}]"#,
        "current",
        "a",
        1000,
        40,
        "STANDARD_IA",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","transitions":[{"days":30,"storage_class":"GLACIER"}],"expiration":{"days":31}}]"#,
        "current",
        "a",
        200_000,
        40,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","noncurrent_version_transitions":[{"noncurrent_days":3,"storage_class":"GLACIER"}]}]"#,
        "noncurrent",
        "a",
        200_000,
        4,
        "GLACIER",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"date":"2020-01-01T00:00:00.000Z"}}]"#,
        "current",
        "a",
        1,
        0,
        "Expire",
    ),
    (
        r#"[{"status":"Enabled","prefix":"","expiration":{"date":"2099-01-01T00:00:00.000Z"}}]"#,
        "current",
        "a",
        1,
        0,
        "Keep",
    ),
];

#[test]
fn fates() {
    let tags = BTreeMap::from([("t".to_owned(), "v".to_owned())]);
    let since_ms = at("2026-03-01T08:00:00Z");
    for &(rules, state, key, size_bytes, days, expected) in CASES {
        let lifecycle = lifecycle(rules);
        let state = match state {
            "current" => State::Current,
            "marker" => State::Marker { alone: true },
            "marker over" => State::Marker { alone: false },
            _ => State::Noncurrent { since_ms, newer: 1 },
        };
        let version = Version {
            key,
            size_bytes,
            tags: &tags,
            storage_class: "STANDARD",
            created_ms: since_ms,
            state,
        };
        let now_ms = since_ms + days * DAY_MS;
        let fate = match fate(&lifecycle, &version, now_ms, Calendar::default()) {
            Fate::Keep => "Keep",
            Fate::Expire => "Expire",
            Fate::Remove => "Remove",
            Fate::Transition(class) => class,
        };
        assert_eq!(fate, expected, "{rules} {state:?} {key} {size_bytes} {days}");
    }
}

#[test]
fn prefixes_cover_all_rules_once() {
    let rule = |prefix: &str, status: &str| {
        format!(r#"{{"status":"{status}","prefix":"{prefix}","expiration":{{"days":1}}}}"#)
    };
    let of = |rules: &[String]| {
        let mut number = 0;
        let rules = serde_json::from_str(&format!("[{}]", rules.join(","))).expect("rules");
        let new_id = || {
            number += 1;
            number.to_string()
        };
        crate::configuration::lifecycle::take(rules, None, new_id).expect("valid")
    };
    let on = "Enabled";
    let kept = of(&[rule("b/", on), rule("a", on), rule("a/x", on), rule("c", "Disabled")]);
    assert_eq!(prefixes(&kept), ["a", "b/"]);
    assert_eq!(prefixes(&of(&[rule("a", on), rule("", on)])), [""]);
}

#[test]
fn the_header() {
    let lifecycle = lifecycle(
        r#"[{"id":"my rule-1","status":"Enabled","prefix":"","expiration":{"days":3}},
            {"id":"later","status":"Enabled","prefix":"","expiration":{"days":30}}]"#,
    );
    let version = Version {
        key: "k",
        size_bytes: 0,
        tags: &BTreeMap::new(),
        storage_class: "STANDARD",
        created_ms: at("2014-01-15T10:30:00Z"),
        state: State::Current,
    };
    assert_eq!(
        expiration_header(&lifecycle, &version, Calendar::default()).expect("expires"),
        "expiry-date=\"Sun, 19 Jan 2014 00:00:00 GMT\", rule-id=\"my%20rule-1\""
    );
}

#[test]
fn uploads() {
    let lifecycle = lifecycle(
        r#"[{"status":"Enabled","prefix":"a","abort_incomplete_multipart_upload":{"days_after_initiation":2}}]"#,
    );
    let begun = at("2026-03-01T08:00:00Z");
    let due = abort(&lifecycle, "ab", begun, Calendar::default()).expect("matches").0;
    assert_eq!(due, at("2026-03-04T00:00:00Z"));
    assert!(abort(&lifecycle, "b", begun, Calendar::default()).is_none());
}
