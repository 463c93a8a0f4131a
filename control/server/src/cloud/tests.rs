//! The writer: batches, dry runs, failing stores.

use super::*;
use crate::store::Memory;
use iam::Account;
use state::StoreError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use types::AccountId;

/// A store whose commits are counted, and fail on demand.
#[derive(Default)]
struct Probe {
    commits: AtomicUsize,
    fails: AtomicBool,
}

struct Probed(Memory, Arc<Probe>);

impl Store for Probed {
    fn load(&mut self, state: &mut State) -> Result<(), StoreError> {
        self.0.load(state)
    }

    fn revision(&mut self) -> Result<u64, StoreError> {
        self.0.revision()
    }

    fn commit(
        &mut self,
        expected: u64,
        revision: u64,
        rows: &mut dyn Iterator<Item = StoredRow>,
    ) -> Result<(), StoreError> {
        self.1.commits.fetch_add(1, Ordering::SeqCst);
        if self.1.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("the disk is full".to_owned()));
        }
        self.0.commit(expected, revision, rows)
    }
}

fn start() -> (Arc<Cloud>, Arc<Probe>) {
    let probe = Arc::new(Probe::default());
    (Cloud::start(Box::new(Probed(Memory::default(), probe.clone()))).unwrap(), probe)
}

fn account(number: usize) -> AccountId {
    format!("{number:012}").parse().unwrap()
}

async fn add(cloud: &Cloud, number: usize, dry_run: bool) -> Result<(), Fault> {
    let run = move |tx: &mut Tx| {
        Account::ensure(tx, account(number), "a");
        Ok(())
    };
    cloud.mutate(dry_run, run).await
}

#[tokio::test]
async fn mutations_that_wait_are_committed_together() {
    let (cloud, probe) = start();
    // The writer is held in one mutation until the others wait behind it.
    let (release, held) = mpsc::channel::<()>();
    let first = cloud.mutate(false, move |tx| {
        let _ = held.recv();
        Account::ensure(tx, account(0), "a");
        Ok(())
    });
    let others = async {
        // Each mutation is sent when it is first polled; the last sender releases the writer.
        let mut adds = Vec::new();
        for number in 1..=10 {
            let mut adding = Box::pin(add(&cloud, number, false));
            let sent = std::future::poll_fn(|context| {
                std::task::Poll::Ready(adding.as_mut().poll(context))
            });
            assert!(sent.await.is_pending());
            adds.push(adding);
        }
        drop(release);
        for adding in adds {
            adding.await.unwrap();
        }
    };
    let (first, ()) = tokio::join!(first, others);
    first.unwrap();
    assert_eq!(cloud.state().count::<Account>(), 11);
    assert_eq!(probe.commits.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn dry_runs_and_faults_leave_no_trace() {
    let (cloud, probe) = start();
    add(&cloud, 1, true).await.unwrap();
    let refused = cloud.mutate(false, |tx| {
        Account::ensure(tx, account(2), "a");
        Err::<(), _>(Fault::sender("Refused", "no"))
    });
    assert_eq!(refused.await.unwrap_err().code, "Refused");
    assert_eq!(cloud.state().count::<Account>(), 0);
    assert_eq!(cloud.state().revision(), 0);
    assert_eq!(probe.commits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_fault_within_the_value_undoes_nothing_but_in_a_dry_run() {
    let (cloud, probe) = start();
    let in_part = |number: usize| {
        move |tx: &mut Tx| {
            Account::ensure(tx, account(number), "a");
            Ok(Err::<(), _>(Fault::sender("InPart", "not all of it")))
        }
    };
    let fault = cloud.mutate(true, in_part(1)).await.unwrap().unwrap_err();
    assert_eq!((&*fault.code, probe.commits.load(Ordering::SeqCst)), ("InPart", 0));
    let fault = cloud.mutate(false, in_part(2)).await.unwrap().unwrap_err();
    assert_eq!((&*fault.code, probe.commits.load(Ordering::SeqCst)), ("InPart", 1));
    assert!(cloud.state().get::<Account>(&account(1)).is_none());
    assert!(cloud.state().get::<Account>(&account(2)).is_some());
}

#[tokio::test]
async fn a_failing_store_changes_nothing() {
    let (cloud, probe) = start();
    add(&cloud, 1, false).await.unwrap();
    let before = cloud.state();
    probe.fails.store(true, Ordering::SeqCst);
    let fault = add(&cloud, 2, false).await.unwrap_err();
    assert_eq!((&*fault.code, fault.status), ("InternalError", 500));
    assert_eq!(cloud.state().revision(), before.revision());
    assert!(cloud.state().get::<Account>(&account(2)).is_none());
    // And goes on once the store is well.
    probe.fails.store(false, Ordering::SeqCst);
    add(&cloud, 3, false).await.unwrap();
    assert_eq!(cloud.state().count::<Account>(), 2);
}

#[tokio::test]
async fn followers_learn_what_may_have_changed() {
    let (cloud, _) = start();
    let follower = cloud.follow();
    let volume = types::ResourceId::from_number(1);
    let made = cloud.mutate(false, move |tx| {
        let region = "us-east-1".parse::<types::Region>().map_err(|_| internal(&"region"))?;
        tx.put(ec2::ebs::volumes::Volume {
            id: volume,
            zone: region.zone('a'),
            scope: types::Scope { account: account(1), region },
            size_gib: 1,
            kind: "gp3".to_owned(),
            iops: None,
            throughput: None,
            snapshot: None,
            encrypted: false,
            state: ec2::ebs::volumes::VolumeState::Creating,
            create_time: tx.now(),
            attachment: None,
            host: "local".to_owned(),
            tags: types::Tags::new(),
        });
        Ok(())
    });
    made.await.unwrap();
    assert_eq!(follower.changed().await, [EntryKey::Volume(volume)].into());
}
