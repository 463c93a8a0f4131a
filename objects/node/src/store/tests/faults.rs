//! Failing, full and lost disks; space that comes back.

use super::{bytes, commit, content, id, open, put, remove, settle, write_file};
use crate::{
    Batch, BlobId, MAX_KEY_BYTES, MAX_VALUE_BYTES, NodeFault,
    disk::{DiskCall, SimDisk},
    store::Store,
};
use bytes::Bytes;
use std::{io::ErrorKind, sync::Arc};

fn new() -> (SimDisk, Arc<Store>) {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    (disk, store)
}

fn record(sequence: u64, key: &str) -> Batch {
    Batch { sequence, changes: vec![put(key, &bytes(sequence, 900))], ..Batch::default() }
}

fn with_blob(sequence: u64, blob: BlobId, len: usize) -> Batch {
    Batch { blobs: vec![(blob, bytes(sequence, len))], ..record(sequence, "with a blob") }
}

#[test]
fn a_failed_write_or_flush_ends_the_node_for_good() {
    for (call, path) in
        [(DiskCall::Sync, "log"), (DiskCall::Write, "log"), (DiskCall::Sync, "index")]
    {
        let (disk, store) = new();
        commit(&store, record(1, "before")).expect("it is taken");
        disk.fail(call, path, ErrorKind::Other);
        let failed = commit(&store, record(2, "after")).and_then(|()| store.tend(true).map(|_| ()));
        assert!(matches!(failed, Err(NodeFault::Down(_))), "{call:?} {path}: {failed:?}");
        disk.mend();
        assert!(matches!(commit(&store, record(3, "later")), Err(NodeFault::Down(_))));
        assert!(matches!(store.get(b"before"), Err(NodeFault::Down(_))));
        assert!(matches!(store.create_blob(id(1)), Err(NodeFault::Down(_))));
        drop(store);
        let (store, report) = open(&disk.crash());
        assert!(!report.is_damaged());
        assert_eq!(store.get(b"before").expect("alive"), Some(bytes(1, 900)));
        assert_eq!(store.get(b"later").expect("alive"), None);
    }
}

#[test]
fn a_failed_blob_flush_ends_the_node() {
    let (disk, store) = new();
    let mut file = store.create_blob(id(1)).expect("it begins");
    file.write(bytes(1, 100)).expect("it is written");
    disk.fail(DiskCall::Sync, "blobs", ErrorKind::Other);
    assert!(matches!(file.finish(), Err(NodeFault::Down(_))));
    assert!(matches!(store.get(b"any"), Err(NodeFault::Down(_))));
}

#[test]
fn a_folder_that_is_gone_ends_the_node() {
    let (disk, store) = new();
    commit(&store, record(1, "before")).expect("it is taken");
    disk.set_gone(true);
    let fault = commit(&store, record(2, "after")).expect_err("it is gone");
    assert!(matches!(&fault, NodeFault::Down(why) if why.contains("removed")), "{fault}");
}

/// Fills the disk with blobs until no more is taken. Gives how many were.
fn fill_up(store: &Arc<Store>) -> u64 {
    for number in 1.. {
        match commit(store, with_blob(number, id(number), 3000)) {
            Ok(()) => {}
            Err(NodeFault::Full) => return number - 1,
            Err(fault) => panic!("{fault}"),
        }
    }
    unreachable!("the disk is small")
}

#[test]
fn a_full_node_reads_and_removes_and_takes_again() {
    let (disk, store) = new();
    disk.set_capacity(disk.used_bytes() + (400 << 10));
    let count = fill_up(&store);
    assert!(count > 20, "{count}");
    assert!(matches!(store.create_blob(id(0)), Err(NodeFault::Full)));
    assert_eq!(store.usage().expect("alive").available_bytes, 0);
    assert_eq!(content(&store, id(1)).expect("it reads"), bytes(1, 3000));
    commit(&store, record(2000, "small")).expect("small records are still taken");
    for number in 1..=count {
        let batch = Batch { sequence: 3000 + number, free: vec![id(number)], ..Batch::default() };
        commit(&store, batch).expect("what frees space is taken");
        store.forget_before(3000 + number).expect("alive");
        settle(&store);
    }
    assert_eq!(store.blobs(None, 10).expect("alive"), []);
    commit(&store, with_blob(5000, id(5000), 3000)).expect("there is room again");
    assert_eq!(content(&store, id(5000)).expect("it reads"), bytes(5000, 3000));
}

#[test]
fn removals_use_the_reserve_where_nothing_is_left() {
    let (disk, store) = new();
    settle(&store);
    for number in 1..=20 {
        commit(&store, with_blob(number, id(number), 500)).expect("it is taken");
    }
    settle(&store);
    // Somebody else has taken all that was left.
    disk.set_capacity(disk.used_bytes());
    assert!(matches!(commit(&store, record(50, "small")), Err(NodeFault::Full)));
    let mut freed = 0;
    for number in 1..=20 {
        let batch = Batch { sequence: 100 + number, free: vec![id(number)], ..Batch::default() };
        freed += u64::from(commit(&store, batch).is_ok());
    }
    assert_eq!(freed, 20);
    store.alive().expect("a full disk is no reason to go down");
    assert_eq!(store.get(b"with a blob").expect("alive"), Some(bytes(20, 900)));
}

#[test]
fn a_full_node_takes_what_its_cluster_needs_to_open_it() {
    let (disk, store) = new();
    for number in 1..=20 {
        commit(&store, with_blob(number, id(number), 500)).expect("it is taken");
    }
    settle(&store);
    // Above the reserve, and below what removals alone are taken with.
    disk.set_capacity(disk.used_bytes() + (24 << 10));
    assert!(matches!(commit(&store, record(50, "small")), Err(NodeFault::Full)));
    for number in 60..64 {
        let own = Batch {
            sequence: number,
            changes: vec![put("\0map", &bytes(number, 2000))],
            ..Batch::default()
        };
        commit(&store, own).expect("the cluster's own records are taken");
    }
    drop(store);
    // Others have taken the rest.
    disk.set_capacity(disk.used_bytes());
    let (store, report) = open(&disk);
    assert!(!report.is_damaged());
    let needed = Batch { although_full: true, adopt: vec![id(2)], ..record(69, "needed") };
    let own =
        Batch { sequence: 70, changes: vec![put("\0map", &bytes(70, 2000))], ..Batch::default() };
    commit(&store, own).expect("the reserve is for this, too");
    assert!(matches!(commit(&store, record(68, "small")), Err(NodeFault::Full)));
    commit(&store, needed).expect("and for what replicas need to agree");
    let batch = Batch { sequence: 71, free: vec![id(1)], ..Batch::default() };
    commit(&store, batch).expect("what frees space is taken");
    assert_eq!(store.get(b"\0map").expect("alive"), Some(bytes(70, 2000)));
}

#[test]
fn limits_are_refused_and_change_nothing() {
    let (_, store) = new();
    let long_key = "k".repeat(MAX_KEY_BYTES + 1);
    let long_value = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    let many = (0..40).map(|number| (id(number), Bytes::from(vec![0; 1 << 20]))).collect();
    for batch in [
        record(1, &long_key),
        Batch { changes: vec![put("key", &long_value)], ..record(1, "") },
        Batch { blobs: vec![(id(1), Bytes::from(vec![0; (1 << 20) + 1]))], ..record(1, "key") },
        Batch { blobs: many, ..record(1, "key") },
    ] {
        let result = commit(&store, batch);
        assert!(matches!(result, Err(NodeFault::Refused(_))), "{result:?}");
    }
    let unknown = Batch { adopt: vec![id(8)], ..record(1, "key") };
    assert!(matches!(commit(&store, unknown), Err(NodeFault::NotFound(_))));
    assert_eq!(store.get(b"key").expect("alive"), None);
    commit(&store, record(1, &"k".repeat(MAX_KEY_BYTES))).expect("the longest key is taken");
}

#[test]
fn a_blob_dropped_or_never_adopted_leaves_nothing() {
    let (disk, store) = new();
    let files = || disk.files().iter().filter(|(path, _)| path.starts_with("blobs/")).count();
    let mut file = store.create_blob(id(1)).expect("it begins");
    file.write(bytes(1, 200_000)).expect("it is written");
    assert_eq!(files(), 1);
    drop(file);
    assert_eq!(files(), 0);
    write_file(&store, id(2), &bytes(2, 200_000));
    assert_eq!(content(&store, id(2)).expect("it can be read"), bytes(2, 200_000));
    write_file(&store, id(3), &bytes(3, 10));
    commit(&store, Batch { free: vec![id(3)], ..record(1, "key") }).expect("it is taken");
    assert_eq!(files(), 1, "a freed one goes at once");
    drop(store);
    let (store, report) = open(&disk);
    assert_eq!((files(), report.dropped_blobs), (0, 1));
    assert!(matches!(content(&store, id(2)), Err(NodeFault::NotFound(_))));
}

#[test]
fn compaction_gives_space_back_and_keeps_what_lives() {
    let (disk, store) = new();
    let log = |disk: &SimDisk| -> u64 {
        let files = disk.files().into_iter();
        files.filter(|(path, _)| path.starts_with("log/")).map(|(_, len)| len).sum()
    };
    for number in 1..=200 {
        commit(&store, with_blob(number, id(number), 1000)).expect("it is taken");
    }
    let full = log(&disk);
    for number in (1..=200).filter(|number| number % 10 != 0) {
        let batch = Batch { sequence: 300, free: vec![id(number)], ..Batch::default() };
        commit(&store, batch).expect("it is taken");
    }
    store.forget_before(1000).expect("alive");
    settle(&store);
    settle(&store);
    assert!(log(&disk) < full / 3, "{} of {full}", log(&disk));
    for number in (10..=200).step_by(10) {
        assert_eq!(content(&store, id(number)).expect("it lives"), bytes(number, 1000));
    }
    commit(&store, Batch { changes: vec![remove("with a blob")], ..Batch::default() })
        .expect("it is taken");
    assert_eq!(store.usage().expect("alive").records, 0);
    assert_eq!(store.usage().expect("alive").blobs, 20);
}

#[test]
fn the_log_is_kept_as_long_as_the_cluster_may_ask() {
    let (disk, store) = new();
    for number in 1..=60 {
        commit(&store, record(number, "same")).expect("it is taken");
    }
    settle(&store);
    drop(store);
    let (store, _) = open(&disk.crash());
    let told = store.changed_since(1).expect("alive").expect("nothing was forgotten");
    assert_eq!(told.len(), 60);
    store.forget_before(31).expect("alive");
    assert_eq!(store.changed_since(30).expect("alive"), None);
    assert_eq!(store.changed_since(31).expect("alive").map(|told| told.len()), Some(30));
    settle(&store);
    assert!(!disk.lose("log/00000001"), "what is forgotten is given up");
    drop(store);
    let (store, _) = open(&disk.crash());
    assert_eq!(store.changed_since(31).expect("alive").map(|told| told.len()), Some(30));
}
