//! Which events of a bucket are told to whom, checked as S3 checks it.

use super::{invalid_argument, malformed_xml};
use s3s::{S3Result, dto};

/// The most configurations of one bucket.
const MAX_CONFIGURATIONS: usize = 100;

/// The events that can be asked for.
const EVENTS: [&str; 28] = [
    "s3:TestEvent",
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*",
    "s3:ObjectRestore:Post",
    "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:ReducedRedundancyLostObject",
    "s3:Replication:*",
    "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:Replication:OperationNotTracked",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
];

/// One wish for events, of whichever kind of target.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub id: &'a str,
    pub arn: &'a str,
    pub events: &'a [dto::Event],
    pub prefix: &'a str,
    pub suffix: &'a str,
}

fn filters(filter: Option<&dto::NotificationConfigurationFilter>) -> (&str, &str) {
    let rules = filter
        .and_then(|filter| filter.key.as_ref())
        .and_then(|key| key.filter_rules.as_deref())
        .unwrap_or_default();
    let find = |name: &str| {
        rules
            .iter()
            .find(|rule| {
                rule.name.as_ref().is_some_and(|it| it.as_str().eq_ignore_ascii_case(name))
            })
            .and_then(|rule| rule.value.as_deref())
            .unwrap_or_default()
    };
    (find("prefix"), find("suffix"))
}

/// All wishes of a configuration.
#[must_use]
pub fn wishes(configuration: &dto::NotificationConfiguration) -> Vec<Wish<'_>> {
    let mut wishes = Vec::new();
    macro_rules! gather {
        ($list:ident, $arn:ident) => {
            for one in configuration.$list.iter().flatten() {
                let (prefix, suffix) = filters(one.filter.as_ref());
                let id = one.id.as_deref().unwrap_or_default();
                wishes.push(Wish { id, arn: &one.$arn, events: &one.events, prefix, suffix });
            }
        };
    }
    gather!(topic_configurations, topic_arn);
    gather!(queue_configurations, queue_arn);
    gather!(lambda_function_configurations, lambda_function_arn);
    wishes
}

impl Wish<'_> {
    /// Whether an event is asked for; it comes with its `s3:`.
    #[must_use]
    pub fn wants(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|wanted| covers(wanted.as_ref(), event))
            && key.starts_with(self.prefix)
            && key.ends_with(self.suffix)
    }

    fn overlaps(&self, other: &Wish<'_>) -> bool {
        let events = self.events.iter().any(|a| {
            other
                .events
                .iter()
                .any(|b| covers(a.as_ref(), b.as_ref()) || covers(b.as_ref(), a.as_ref()))
        });
        let prefixes =
            self.prefix.starts_with(other.prefix) || other.prefix.starts_with(self.prefix);
        let suffixes = self.suffix.ends_with(other.suffix) || other.suffix.ends_with(self.suffix);
        events && prefixes && suffixes
    }
}

fn covers(wanted: &str, event: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(front) => event.starts_with(front),
        None => wanted == event,
    }
}

/// Takes a configuration in; wishes without an ID get one from `new_id`.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`.
pub fn take(
    mut configuration: dto::NotificationConfiguration,
    mut new_id: impl FnMut() -> String,
) -> S3Result<dto::NotificationConfiguration> {
    macro_rules! name {
        ($list:ident) => {
            for one in configuration.$list.iter_mut().flatten() {
                if one.id.as_ref().is_none_or(String::is_empty) {
                    one.id = Some(new_id());
                }
                check_filter(one.filter.as_ref())?;
            }
        };
    }
    name!(topic_configurations);
    name!(queue_configurations);
    name!(lambda_function_configurations);
    let wishes = wishes(&configuration);
    if wishes.len() > MAX_CONFIGURATIONS {
        return Err(invalid_argument(format!(
            "The number of notification configurations must not exceed {MAX_CONFIGURATIONS}."
        )));
    }
    for (at, wish) in wishes.iter().enumerate() {
        if wish.events.is_empty() {
            return Err(malformed_xml());
        }
        if let Some(unknown) =
            wish.events.iter().find(|event| !EVENTS.contains(&AsRef::<str>::as_ref(*event)))
        {
            return Err(invalid_argument(format!(
                "The event '{}' is not supported for notifications",
                AsRef::<str>::as_ref(unknown)
            )));
        }
        if wish.id.chars().count() > 255 {
            return Err(invalid_argument("The notification ID must not exceed 255 characters."));
        }
        for other in &wishes[..at] {
            if other.id == wish.id {
                return Err(invalid_argument(
                    "Same ID used for multiple configurations. IDs must \
                     be unique",
                ));
            }
            if wish.overlaps(other) {
                return Err(invalid_argument(
                    "Configurations overlap. Configurations on the same \
                     bucket cannot share a common event type.",
                ));
            }
        }
    }
    Ok(configuration)
}

fn check_filter(filter: Option<&dto::NotificationConfigurationFilter>) -> S3Result<()> {
    let Some(rules) =
        filter.and_then(|it| it.key.as_ref()).and_then(|key| key.filter_rules.as_deref())
    else {
        return Ok(());
    };
    let mut seen = Vec::new();
    for rule in rules {
        let name = rule.name.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let Some(name) = name.filter(|name| name == "prefix" || name == "suffix") else {
            return Err(invalid_argument("filter rule name must be either prefix or suffix"));
        };
        if seen.contains(&name) {
            return Err(invalid_argument(format!(
                "Cannot specify more than one {name} rule in a filter."
            )));
        }
        if rule.value.as_ref().is_some_and(|value| value.len() > 1024) {
            return Err(invalid_argument(
                "Size of filter rule value cannot exceed 1024 bytes in \
                 UTF-8 representation",
            ));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(id: &str, events: &[&str], prefix: &str, suffix: &str) -> dto::TopicConfiguration {
        let rule = |name: &'static str, value: &str| dto::FilterRule {
            name: Some(dto::FilterRuleName::from_static(name)),
            value: Some(value.to_owned()),
        };
        let rules = vec![rule("prefix", prefix), rule("Suffix", suffix)];
        dto::TopicConfiguration {
            events: events.iter().map(|name| dto::Event::from((*name).to_owned())).collect(),
            filter: Some(dto::NotificationConfigurationFilter {
                key: Some(dto::S3KeyFilter { filter_rules: Some(rules) }),
            }),
            id: Some(id.to_owned()),
            topic_arn: "arn:aws:sns:us-east-1:123456789012:t".to_owned(),
        }
    }

    fn taken(topics: Vec<dto::TopicConfiguration>) -> S3Result<dto::NotificationConfiguration> {
        let configuration = dto::NotificationConfiguration {
            topic_configurations: Some(topics),
            ..Default::default()
        };
        take(configuration, || "new".to_owned())
    }

    #[test]
    fn wanted_events() {
        let one = taken(vec![topic("a", &["s3:ObjectCreated:*"], "in/", ".jpg")]).expect("valid");
        let wishes = wishes(&one);
        assert!(wishes[0].wants("s3:ObjectCreated:Put", "in/x.jpg"));
        assert!(!wishes[0].wants("s3:ObjectCreated:Put", "in/x.png"));
        assert!(!wishes[0].wants("s3:ObjectCreated:Put", "out/x.jpg"));
        assert!(!wishes[0].wants("s3:ObjectRemoved:Delete", "in/x.jpg"));
    }

    #[test]
    fn overlaps() {
        let put = ["s3:ObjectCreated:Put"];
        let all = ["s3:ObjectCreated:*"];
        let removed = ["s3:ObjectRemoved:*"];
        // Second wish against ("a", all, "in/", ".jpg"), and whether both can be.
        let table = [
            (topic("b", &put, "in/", ".jpg"), false),
            (topic("b", &put, "in/sub/", ""), false),
            (topic("b", &put, "out/", ".jpg"), true),
            (topic("b", &put, "in/", ".png"), true),
            (topic("b", &removed, "in/", ".jpg"), true),
            (topic("a", &removed, "in/", ".jpg"), false),
            (topic("", &removed, "in/", ".jpg"), true),
            (topic("b", &["s3:ObjectCreated:Magic"], "x", ""), false),
            (topic("b", &[], "x", ""), false),
        ];
        for (second, valid) in table {
            let first = topic("a", &all, "in/", ".jpg");
            let result = taken(vec![first, second.clone()]);
            assert_eq!(result.is_ok(), valid, "{second:?}");
        }
    }
}
