//! AWS's managed policies: those that people attach by habit.

use crate::{
    Named, PolicyText, UniqueId,
    policies::{ManagedPolicy, PolicyVersion},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::LazyLock};
use types::{AccountId, Tags, Timestamp};

/// An entry of the table of AWS's policies.
#[derive(Deserialize)]
struct Entry {
    /// The path and the name, such as `/job-function/ViewOnlyAccess`.
    name: String,
    /// What it is for.
    description: String,
    /// The version's number at AWS.
    version: u32,
    document: serde_json::Value,
}

static POLICIES: LazyLock<BTreeMap<String, ManagedPolicy>> = LazyLock::new(|| {
    let entries = serde_json::from_str::<Vec<Entry>>(include_str!("../../data/aws_policies.json"));
    let entries = entries.unwrap_or_else(|error| unreachable!("the table of policies: {error}"));
    entries.into_iter().map(row).map(|row| (row.arn(), row)).collect()
});

fn row(entry: Entry) -> ManagedPolicy {
    let (path, name) = entry.name.rsplit_once('/').unwrap_or(("", &entry.name));
    // 2015-02-06, the day of the oldest of them.
    let created = Timestamp::from_millis(1_423_247_999_000);
    let named = Named {
        account: AccountId::SYSTEM,
        path: format!("{path}/"),
        name: name.to_owned(),
        id: id(&entry.name),
        created,
    };
    let document = PolicyText::unread(entry.document.to_string());
    ManagedPolicy {
        named,
        description: Some(entry.description),
        tags: Tags::new(),
        versions: vec![PolicyVersion { number: entry.version, document, created }],
        default_version: entry.version,
        last_version: entry.version,
        updated: created,
    }
}

/// An ID made of the name (FNV-1a), so that it is the same for ever.
fn id(name: &str) -> UniqueId {
    let mut hash = 0xcbf2_9ce4_8422_2325_cbf2_9ce4_8422_2325_u128;
    for byte in name.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    let digit = |at: u32| {
        let index = usize::try_from((hash >> (5 * at)) & 31).unwrap_or_default();
        char::from(crate::named::ID_ALPHABET[index])
    };
    UniqueId::from_text(&format!("ANPA{}", (0..17).map(digit).collect::<String>()))
}

/// All of them by ARN.
pub fn all() -> impl Iterator<Item = &'static ManagedPolicy> {
    POLICIES.values()
}

/// The one with this ARN.
pub fn get(arn: &str) -> Option<&'static ManagedPolicy> {
    arn.starts_with("arn:aws:iam::aws:policy/").then(|| POLICIES.get(arn))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{Document, Kind};

    #[test]
    fn each_is_a_valid_document_with_an_id_of_its_own() {
        let ids = all().map(|row| row.named.id.clone()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(ids.len(), all().count());
        for row in all() {
            let text = row.document().text();
            if let Err(invalid) = Document::parse(text, text.len(), Kind::Identity) {
                panic!("{}: {invalid}", row.named.name);
            }
        }
        assert!(get("arn:aws:iam::aws:policy/AdministratorAccess").is_some());
        assert!(get("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole").is_some());
    }
}
