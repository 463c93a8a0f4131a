//! The fuzz corpus, as it is and mutated.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::hostile;

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("json", hostile::json),
    ("query", hostile::query),
    ("sigv4", hostile::sigv4),
    ("xml", hostile::xml),
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn the_corpus_does_no_harm() {
    for (name, target) in TARGETS {
        corpus(name).iter().for_each(|bytes| target(bytes));
    }
}

/// Replaces, removes, inserts and repeats bytes.
fn mutated(mut bytes: Vec<u8>, changes: &[(u8, prop::sample::Index, u8)]) -> Vec<u8> {
    for (kind, index, byte) in changes {
        if bytes.is_empty() {
            bytes.push(*byte);
            continue;
        }
        let at = index.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, *byte),
            _ => bytes.extend_from_within(at..bytes.len().min(at + 64)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn mutations_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        for (name, target) in TARGETS {
            let corpus = corpus(name);
            target(&mutated(which.get(&corpus).clone(), &changes));
        }
    }

    #[test]
    fn any_text_is_carried(text in any::<String>()) {
        hostile::xml(text.as_bytes());
    }
}

/// A megabyte of whatever costs most is answered quickly: in hours if decoding were quadratic.
#[test]
fn decoding_is_linear() {
    let megabyte = |part: &str| part.repeat(1_000_000 / part.len()).into_bytes();
    hostile::query(&megabyte("A."));
    hostile::query(&megabyte("Filter.1.Value.1=x&"));
    hostile::query(&megabyte("%41%2e1"));
    hostile::query(&[b"InstanceId.1=".to_vec(), megabyte("x")].concat());
    let many: Vec<String> =
        (0..19_999).map(|n| format!("Filter.{}.Name=a", n * 7919 % 20_011)).collect();
    hostile::query(many.join("&").as_bytes());
    hostile::json(&megabyte("["));
    hostile::json(&[b"{\"Tags\":[".to_vec(), megabyte("{},")].concat());
    hostile::json(&[b"{".to_vec(), megabyte("\"a\":{},")].concat());
    hostile::sigv4(&[b"/\n".to_vec(), megabyte("a=b&")].concat());
    hostile::sigv4(&megabyte("/.."));
}
