//! A node in a folder.

use bytes::Bytes;
use node::{
    Batch, BlobId, Change, FolderNode, MAX_BLOB_BYTES, Node, NodeFault, OpenFault, Options, Scan,
};
use std::{path::Path, sync::Arc};

pub fn open(folder: &Path) -> FolderNode {
    let (node, report) = FolderNode::open(folder, Options::default()).expect("it opens");
    assert!(!report.is_damaged(), "{report:?}");
    node
}

pub fn put(sequence: u64, key: &str, value: &[u8]) -> Batch {
    let value = Some(Bytes::copy_from_slice(value));
    let change = Change { key: Bytes::copy_from_slice(key.as_bytes()), value };
    Batch { sequence, changes: vec![change], ..Batch::default() }
}

fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at * 31 % 251).expect("small")).collect::<Vec<_>>().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_batches_are_kept_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Arc::new(open(folder.path()));
    let tasks: Vec<_> = (0..64_u64)
        .map(|task| {
            let node = node.clone();
            tokio::spawn(async move {
                for number in 0..10_u8 {
                    let batch =
                        put(task * 10 + u64::from(number), &format!("{task:02}"), &[number; 9]);
                    node.commit(batch).await.expect("it is taken");
                    let found = node.get(format!("{task:02}").as_bytes()).await.expect("read");
                    assert_eq!(found.as_deref(), Some(&[number; 9][..]));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    drop(node);
    let node = open(folder.path());
    let scan = Scan { from: "10".into(), until: Some("20".into()), limit: 4 };
    let found = node.scan(scan).await.expect("read");
    let keys: Vec<_> = found.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, [b"10", b"11", b"12", b"13"]);
    assert!(found.iter().all(|(_, value)| **value == [9; 9]));
    assert_eq!(node.usage().await.expect("alive").records, 64);
}

#[tokio::test]
async fn blobs_of_all_lengths_are_read_in_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let whole = usize::try_from(MAX_BLOB_BYTES).expect("small");
    for (number, len) in [(1, 0), (2, 1), (3, 65_536), (4, 65_537), (5, 1 << 20), (6, whole)] {
        let (id, data) = (BlobId([number; 16]), bytes(len));
        let mut batch = put(u64::from(number), &number.to_string(), b"");
        if number % 2 == 0 {
            let mut writer = node.create_blob(id).await.expect("it begins");
            let mut rest = data.clone();
            while !rest.is_empty() {
                let part = rest.split_to(rest.len().min(100_001));
                writer.write(part).await.expect("it is written");
            }
            writer.finish().await.expect("it is durable");
            batch.adopt.push(id);
        } else {
            batch.blobs.push((id, data.clone()));
        }
        node.commit(batch).await.expect("it is taken");
        assert_eq!(node.blob_len(id).await.expect("it is"), len as u64);
        let mut read = Vec::new();
        while read.len() < len {
            let part = node.read_blob(id, read.len() as u64, 777_777).await.expect("read");
            assert!(!part.is_empty() && part.len() <= 777_777);
            read.extend_from_slice(&part);
        }
        assert!(read == data, "{len} bytes");
        assert_eq!(node.read_blob(id, len as u64, 10).await.expect("read"), Bytes::new());
        node.verify_blob(id).await.expect("it is whole");
    }
    let mut writer = node.create_blob(BlobId([9; 16])).await.expect("it begins");
    let mut result = Ok(());
    for _ in 0..9 {
        result = writer.write(bytes(1 << 20)).await;
    }
    assert!(matches!(result, Err(NodeFault::Refused(_) | NodeFault::Down(_))), "{result:?}");
}

#[tokio::test]
async fn only_one_has_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let second = FolderNode::open(folder.path(), Options::default());
    assert!(matches!(second, Err(OpenFault::InUse)), "{second:?}");
    drop(node);
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_removed_folder_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    node.commit(put(1, "key", b"value")).await.expect("it is taken");
    std::fs::remove_dir_all(folder.path()).expect("it is removed");
    let fault = node.commit(put(2, "key", b"value")).await.expect_err("it is gone");
    assert!(matches!(fault, NodeFault::Down(_)), "{fault}");
    assert!(matches!(node.get(b"key").await, Err(NodeFault::Down(_))));
}

#[tokio::test]
async fn rot_on_the_real_disk_is_found_and_repaired() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let (small, large) = (BlobId([1; 16]), BlobId([2; 16]));
    let mut writer = node.create_blob(large).await.expect("it begins");
    writer.write(bytes(3 << 20)).await.expect("it is written");
    writer.finish().await.expect("it is durable");
    let blobs = vec![(small, bytes(5000))];
    let batch = Batch { blobs, adopt: vec![large, small], ..put(1, "key", b"value") };
    node.commit(batch).await.expect("it is taken");
    let files = ["log/00000001".to_owned(), format!("blobs/02/{large:?}")];
    for (file, id, len) in [(&files[0], small, 5000), (&files[1], large, 3 << 20)] {
        let path = folder.path().join(file);
        let mut content = std::fs::read(&path).expect("it is there");
        content[2000] ^= 1;
        std::fs::write(&path, content).expect("it is changed");
        for result in [node.read_blob(id, 0, 10_000).await.map(|_| ()), node.verify_blob(id).await]
        {
            assert!(matches!(result, Err(NodeFault::CorruptBlob(bad)) if bad == id), "{result:?}");
        }
        node.repair_blob(id, bytes(len)).await.expect("it is repaired");
        node.verify_blob(id).await.expect("it is whole");
    }
    assert_eq!(node.blobs(None, 10).await.expect("alive"), [small, large]);
    assert_eq!(node.blobs(Some(small), 10).await.expect("alive"), [large]);
}
