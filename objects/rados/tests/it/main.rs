//! The node over a real Ceph: that of `FOGBANK_CEPH_CONF`, which `tests/ceph/ceph.sh` starts.

mod clustered;
mod fault;
mod own;

use node::{Node, contract};
use rados::{RadosNode, Settings};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

const WHY: &str = "FOGBANK_CEPH_CONF names the ceph.conf of a Ceph for tests";

fn conf() -> PathBuf {
    std::env::var_os("FOGBANK_CEPH_CONF").expect(WHY).into()
}

/// Of a namespace that nobody has used.
fn fresh() -> Settings {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Settings {
        conf: conf(),
        pool: "fogbank".to_owned(),
        user: "admin".to_owned(),
        namespace: format!("test-{}-{since}-{count}", std::process::id()),
        timeout_s: 60,
        slot_of: contract::slot_of,
    }
}

async fn connect(settings: &Settings) -> RadosNode {
    RadosNode::connect(settings.clone()).await.expect("connect to Ceph")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn the_contract_is_kept() {
    let node = connect(&fresh()).await;
    contract::records(&node).await;
    contract::scans(&node).await;
    contract::blobs(&node).await;
    contract::dropped_blob(&node).await;
    assert_eq!(node.changed_since(0).await.expect("changes"), None);
    node.forget_before(1).await.expect("forget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn records_are_found_without_knowing_their_slot() {
    let node = connect(&Settings { slot_of: |_, _| None, ..fresh() }).await;
    contract::records(&node).await;
    contract::scans(&node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a Ceph"]
async fn random_batches_do_as_the_model() {
    for seed in 0..4 {
        contract::model(&connect(&fresh()).await, seed, 120).await;
    }
}
