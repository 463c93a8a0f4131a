//! Disks that somebody else fills up, one after the other, while clients write: what frees space is
//! taken all the time.

use super::{Simulation, client::Client, millis, number, watch_panics};
use cluster::ClusterFault;

/// Below this nodes count as full.
const LOW_WATER_BYTES: u64 = 2 << 20;
const RESERVE_BYTES: u64 = 512 << 10;
/// Too little for anything but what frees space.
const LEFT_BYTES: u64 = 600 << 10;

impl Simulation {
    fn client(&mut self) -> Client {
        let (cluster, model, dice) = (self.cluster(), self.model.clone(), self.dice.fork());
        Client { cluster, model, dice, keys: self.keys }
    }

    /// Fills all disks under load, and removes something after each. True if nothing more was taken
    /// then: what is removed may make room enough.
    async fn fill_up(&mut self) -> bool {
        self.bays.truncate(3);
        for bay in &mut self.bays {
            bay.latency_us = 2_000;
            bay.options.low_water_bytes = LOW_WATER_BYTES;
            bay.options.reserve_bytes = RESERVE_BYTES;
        }
        self.open().await;
        self.send_clients();
        self.join_clients().await;
        for _ in 0..4 {
            self.send_clients();
        }
        let mut remover = self.client();
        for bay in 0..3 {
            millis(self.dice.below(100)).await;
            self.bays[bay].leave(LEFT_BYTES);
            if self.dice.chance(50) {
                // The next one is full before this is noticed.
                continue;
            }
            let key = self.dice.below(self.keys);
            remover.delete(key).await.expect("it frees space");
        }
        for _ in 0..10 {
            millis(self.dice.below(50)).await;
            let key = self.dice.below(self.keys);
            remover.delete(key).await.expect("it frees space");
        }
        self.join_clients().await;
        let full = self.client().fill().await;
        assert!(matches!(full, Ok(()) | Err(ClusterFault::Full)), "{full:?}");
        remover.delete(0).await.expect("it frees space");
        drop(remover);
        self.bays.iter().for_each(|bay| bay.fill(false));
        self.healed().await;
        self.verify().await;
        self.cluster().close().await;
        full.is_err()
    }
}

#[test]
fn what_frees_space_is_taken_while_disks_fill_up() {
    let _ = env_logger::builder().is_test(true).try_init();
    watch_panics();
    let first = number("FOGBANK_SIMULATION_FIRST", 1);
    let seeds = number("FOGBANK_SIMULATION_SEEDS", 60);
    let (mut failed, mut full) = (Vec::new(), 0);
    for seed in first..first + seeds {
        log::info!("seed {seed}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let run = || runtime.block_on(async { Simulation::new(seed, true).fill_up().await });
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(was_full) => full += u64::from(was_full),
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}", failed.len());
    assert!(full * 2 > seeds, "too few were full: {full}");
}
