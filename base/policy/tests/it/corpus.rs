//! The fuzz corpus, as it is and mutated.

use crate::hostile;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/document");
    let files = fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files.into_iter().map(|file| fs::read(file).expect("a readable file")).collect()
}

#[test]
fn the_corpus_does_no_harm() {
    corpus().iter().for_each(|bytes| hostile::document(bytes));
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
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn mutations_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<u8>(), any::<prop::sample::Index>(), 0_u8..128), 0..4),
    ) {
        let corpus = corpus();
        hostile::document(&mutated(which.get(&corpus).clone(), &changes));
    }
}
