//! Flipped bits and lost files: found, told, and never given out.

use super::{bytes, commit, content, id, open, put, remove, settle, try_open, write_file};
use crate::{
    Batch, BlobId, NodeFault, Options, Scan,
    disk::{Dice, SimDisk},
    store::{Store, Work},
};
use bytes::Bytes;
use std::sync::Arc;

const RECORDS: u64 = 40;
const FLIPS: u64 = 60;

/// Forty records, each with a blob of its number: most in the log, some in files.
fn fill(store: &Arc<Store>) {
    for number in 0..RECORDS {
        let value = bytes(number, 200);
        let changes = vec![put(&key(number), &value), put("replaced", &value)];
        let batch = Batch { sequence: number + 1, changes, ..Batch::default() };
        let data = blob(number);
        let batch = if is_in_file(number) {
            write_file(store, id(number), &data);
            Batch { adopt: vec![id(number)], ..batch }
        } else {
            Batch { blobs: vec![(id(number), data)], ..batch }
        };
        commit(store, batch).expect("it is taken");
    }
}

fn key(number: u64) -> String {
    format!("record {number:02}")
}

fn is_in_file(number: u64) -> bool {
    number % 8 == 3
}

fn blob(number: u64) -> Bytes {
    bytes(number, if is_in_file(number) { 70_000 } else { 700 })
}

fn is_blob_whole(store: &Store, number: u64) -> bool {
    match content(store, id(number)) {
        Ok(found) => {
            assert!(found == blob(number), "wrong bytes were given out: blob {number}");
            store.verify_blob(id(number)).expect("what is read can be verified");
            true
        }
        Err(NodeFault::CorruptBlob(name)) => {
            assert_eq!(name, id(number));
            assert!(store.verify_blob(name).is_err(), "verifying finds it, too");
            false
        }
        // The batch that had it is lost: that is told by the report.
        Err(NodeFault::NotFound(_)) => false,
        Err(fault) => panic!("blob {number}: {fault}"),
    }
}

fn whole_blobs(store: &Store) -> usize {
    (0..RECORDS).filter(|number| is_blob_whole(store, *number)).count()
}

fn assert_records(store: &Store, what: &str) {
    for number in 0..RECORDS {
        let found = store.get(key(number).as_bytes()).expect("it is read");
        assert_eq!(found, Some(bytes(number, 200)), "{what}");
    }
    let all = Scan { from: Bytes::new(), until: None, limit: 100 };
    assert_eq!(store.scan(&all).expect("it is read").len(), 41, "{what}");
}

/// A node that was closed, and one that was cut off.
fn disks() -> [SimDisk; 2] {
    [true, false].map(|close| {
        let disk = SimDisk::new(5);
        let (store, _) = open(&disk);
        fill(&store);
        if close {
            store.close().expect("it is alive");
            drop(store);
            return disk;
        }
        disk.crash()
    })
}

#[test]
fn a_flipped_bit_in_any_file_is_found() {
    let mut dice = Dice::new(1);
    for (disk, is_closed) in disks().into_iter().zip([true, false]) {
        for (path, len) in disk.files().into_iter().filter(|(path, _)| path != "reserve") {
            for flip in 0..FLIPS.min(len) {
                let at = if flip < 8 { flip } else { dice.roll(len) };
                let disk = disk.fork();
                assert!(disk.rot(&path, at, 1 << dice.roll(8)));
                check_flipped(&disk, is_closed, &path, &format!("{path} at {at}"));
            }
        }
    }
}

#[test]
fn a_header_that_rots_is_not_taken_for_a_newer_one() {
    const PLACES: [u64; 2] = [0, 4096];
    for (disk, is_closed) in disks().into_iter().zip([true, false]) {
        for at in [0, 8, 16, 23, 24, 32, 41, 60, 100, 200, 300, 351, 511] {
            for place in PLACES {
                let disk = disk.fork();
                assert!(disk.rot("index.redb", place + at, 1));
                check_flipped(&disk, is_closed, "index.redb", &format!("{place} + {at}"));
            }
        }
        for place in PLACES {
            assert!(disk.rot("index.redb", place + 50, 1));
        }
        let (store, report) = open(&disk);
        assert!(report.index_rebuilt && !report.is_damaged(), "{report:?}");
        assert_records(&store, "neither can be used");
    }
}

#[test]
fn an_index_that_lost_its_end_is_made_anew() {
    for disk in disks() {
        let (_, len) =
            disk.files().into_iter().find(|(path, _)| path == "index.redb").expect("it is");
        for len in [0, 1, 4096, 8192, 8193, 12_288, len / 3, len / 3 / 4096 * 4096, 20 * 4096] {
            let disk = disk.fork();
            assert!(disk.shorten("index.redb", len));
            let (store, report) = open(&disk);
            assert!(!report.is_damaged(), "{len}: {report:?}");
            assert_records(&store, &len.to_string());
            assert_eq!(whole_blobs(&store), 40);
        }
    }
}

fn check_flipped(disk: &SimDisk, is_closed: bool, path: &str, what: &str) {
    let Ok((store, report)) = try_open(disk) else {
        assert_eq!(path, "node.json", "only a node that isn't one is refused: {what}");
        return;
    };
    if path == "index.redb" {
        // The log has everything: what isn't found at the start is when it is read.
        let store = match read_all(&store) {
            Ok(()) => store,
            Err(NodeFault::Down(_)) => {
                drop(store);
                let (store, report) = open(disk);
                assert!(report.index_rebuilt, "{what}: {report:?}");
                store
            }
            Err(fault) => panic!("{what}: {fault}"),
        };
        assert_records(&store, what);
        assert_eq!((whole_blobs(&store), report.is_damaged()), (40, false), "{what}");
        return;
    }
    let whole = whole_blobs(&store);
    match path.split('/').next() {
        Some("blobs") => {
            assert_records(&store, what);
            assert_eq!((whole, report.is_damaged()), (39, false), "{what}");
        }
        // The index has the records, and which blobs there should be.
        Some("log") if is_closed => {
            assert_records(&store, what);
            assert!(whole >= 39, "{what}: {whole}");
            let named = store.blobs(None, 100).expect("alive");
            assert_eq!(named.len(), 40, "{what}");
        }
        // Of the index there is nothing but the log.
        Some("log") => {
            let all = Scan { from: Bytes::new(), until: None, limit: 100 };
            let records = store.scan(&all).expect("it is read").len();
            assert!(records >= 40, "{what}: {records}");
            let told = report.is_damaged() || report.torn_bytes > 0;
            assert!(told || records == 41 && whole >= 39, "{what}: {report:?}");
        }
        _ => panic!("another file: {what}"),
    }
}

/// Reads all that the index has.
fn read_all(store: &Store) -> crate::NodeResult<()> {
    let all = Scan { from: Bytes::new(), until: None, limit: 100 };
    for (_, value) in store.scan(&all)? {
        assert_eq!(value.len(), 200);
    }
    (0..RECORDS).try_for_each(|number| store.blob_len(id(number)).map(|_| ()))
}

#[test]
fn an_index_that_rots_under_a_running_node_is_made_anew() {
    let mut dice = Dice::new(3);
    let [disk, _] = disks();
    let mut found = 0;
    for _ in 0..200 {
        let disk = disk.fork();
        // Without a cache, each page is read when it is needed.
        let options = Options { cache_bytes: 0, ..Options::small() };
        let opened = Store::open(Arc::new(disk.clone()), options, [7; 16]);
        let (store, _) = opened.expect("it opens");
        let index = disk.files().into_iter().find(|(path, _)| path == "index.redb");
        assert!(disk.rot("index.redb", dice.roll(index.expect("it is there").1), 4));
        for number in 0..RECORDS {
            match store.get(key(number).as_bytes()) {
                Ok(value) => assert_eq!(value, Some(bytes(number, 200))),
                Err(NodeFault::Down(_)) => {
                    found += 1;
                    break;
                }
                Err(fault) => panic!("{fault}"),
            }
        }
        drop(store);
        let (store, report) = open(&disk.crash());
        assert!(!report.is_damaged());
        assert_records(&store, "after a start");
        assert_eq!(whole_blobs(&store), 40);
    }
    assert!(found > 0, "none of the flips hit a page that was read");
}

#[test]
fn a_corrupt_group_amid_good_ones_is_told() {
    let [_, disk] = disks();
    // In the first group of the last segment: others follow.
    let (path, _) =
        disk.files().into_iter().rfind(|(path, _)| path.starts_with("log/")).expect("it is");
    assert!(disk.rot(&path, 50, 1));
    let (store, report) = open(&disk);
    assert_eq!((report.corrupt_entries, report.torn_bytes), (1, 0));
    assert_eq!(store.changed_since(0).expect("alive"), None, "it can't be told any more");
    let all = Scan { from: Bytes::new(), until: None, limit: 100 };
    assert_eq!(store.scan(&all).expect("it is read").len(), 40, "one batch is lost");
    // The node goes on, and what comes next is kept and told.
    let batch = Batch { sequence: 99, changes: vec![put("new", &bytes(1, 1))], ..Batch::default() };
    commit(&store, batch).expect("it is taken");
    assert_eq!(store.changed_since(99).expect("alive"), Some(vec![Bytes::from_static(b"new")]));
    let (store, _) = open(&disk.crash());
    assert_eq!(store.get(b"new").expect("alive"), Some(bytes(1, 1)));
}

#[test]
fn a_log_that_lost_its_end_is_told_and_not_written_over() {
    let [disk, _] = disks();
    let (path, len) =
        disk.files().into_iter().rfind(|(path, _)| path.starts_with("log/")).expect("it is");
    assert!(disk.shorten(&path, len / 2));
    let (store, report) = open(&disk);
    assert!(report.corrupt_entries > 0);
    assert_records(&store, "the index has them");
    let before = whole_blobs(&store);
    for number in 50..80 {
        let blobs = vec![(id(number), bytes(number, 700))];
        commit(&store, Batch { sequence: number, blobs, ..Batch::default() }).expect("it is taken");
    }
    assert_eq!(whole_blobs(&store), before, "no blob's place was taken by another");
}

#[test]
fn lost_files_are_told_and_repaired() {
    let [disk, _] = disks();
    let file = format!("blobs/{:02x}/{:?}", id(3).0[0], id(3));
    assert!(disk.lose(&file) && disk.lose("log/00000001"));
    let (store, report) = open(&disk);
    assert_eq!((report.missing_blobs, report.missing_segments), (1, 1));
    assert_records(&store, "the index has them");
    let lost: Vec<u64> = (0..RECORDS).filter(|number| !is_blob_whole(&store, *number)).collect();
    assert!(lost.contains(&3) && lost.len() > 3, "{lost:?}");
    for number in lost {
        let work = if is_in_file(number) {
            write_file(&store, id(number), &blob(number));
            Work::RepairInFile(id(number), 70_000)
        } else {
            Work::RepairInLog(id(number), blob(number))
        };
        store.commit_group(vec![work]).remove(0).expect("it is taken");
    }
    assert_eq!(whole_blobs(&store), 40);
    drop(store);
    let (store, report) = open(&disk.crash());
    assert!(!report.is_damaged(), "{report:?}");
    assert_eq!(whole_blobs(&store), 40);
}

#[test]
fn a_blob_that_rots_in_a_segment_that_is_given_up_stays_corrupt_until_repaired() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk);
    let kept = BlobId([9; 16]);
    let blobs = vec![(kept, bytes(1, 700))];
    commit(&store, Batch { sequence: 1, blobs, ..Batch::default() }).expect("it is taken");
    let marker: Vec<u8> = bytes(1, 700).to_vec();
    let at = (0..2000).find(|at| {
        let mut read = vec![0; 700];
        let file = crate::disk::Disk::open(&disk, "log/00000001").expect("it is");
        file.read_at(&mut read, *at).is_ok() && read == marker
    });
    for number in 0..60 {
        let changes = vec![put("same", &bytes(number, 1000))];
        commit(&store, Batch { sequence: number, changes, ..Batch::default() }).expect("taken");
    }
    assert!(disk.rot("log/00000001", at.expect("the blob is there") + 5, 1));
    store.forget_before(1000).expect("alive");
    settle(&store);
    settle(&store);
    assert!(!disk.lose("log/00000001"), "the segment is given up");
    for _ in 0..2 {
        let fault = content(&store, kept).expect_err("it is corrupt");
        assert!(matches!(fault, NodeFault::CorruptBlob(name) if name == kept));
    }
    drop(store);
    let (store, _) = open(&disk.crash());
    assert!(matches!(content(&store, kept), Err(NodeFault::CorruptBlob(_))));
    let work = Work::RepairInLog(kept, bytes(1, 700));
    store.commit_group(vec![work]).remove(0).expect("it is taken");
    assert_eq!(content(&store, kept).expect("it is whole"), bytes(1, 700));
}

#[test]
fn what_was_removed_stays_so_when_the_index_is_made_anew() {
    let disk = SimDisk::new(5);
    let (store, _) = open(&disk);
    fill(&store);
    for number in 0..RECORDS {
        let changes = vec![remove(&key(number))];
        let free = vec![id(number)];
        commit(&store, Batch { sequence: 100 + number, changes, free, ..Batch::default() })
            .expect("it is taken");
        if number % 4 == 0 {
            store.forget_before(100 + number).expect("alive");
            settle(&store);
        }
    }
    drop(store);
    assert!(disk.lose("index.redb"));
    let (store, report) = open(&disk.crash());
    assert!(report.index_rebuilt && !report.is_damaged());
    let all = Scan { from: Bytes::new(), until: None, limit: 100 };
    let left = store.scan(&all).expect("it is read");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(store.blobs(None, 100).expect("alive"), []);
}
