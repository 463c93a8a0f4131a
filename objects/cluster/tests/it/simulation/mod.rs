//! A cluster under seeded faults, against a model: nodes die, come back, come back empty, hang,
//! fill up and rot; the process crashes between any two steps; nodes are added and removed.
//!
//! Time is tokio's paused clock, so that a seed is a history. `FOGBANK_SIMULATION_SEEDS=10000`
//! runs so many, `FOGBANK_SIMULATION_FIRST=17` begins there.

mod client;
mod dice;
mod filling;
mod model;
mod rack;

use bytes::Bytes;
use client::{Client, Shared};
use cluster::{Cluster, Config, Health, Limits};
use dice::Dice;
use node::{BlobId, Scan};
use rack::Bay;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

struct Simulation {
    dice: Dice,
    bays: Vec<Bay>,
    cluster: Option<Arc<Cluster>>,
    model: Shared,
    keys: u64,
    /// The one node that may lack something now.
    faulty: Option<usize>,
    clients: JoinSet<()>,
}

fn limits() -> Limits {
    Limits {
        write: Duration::from_millis(400),
        read: Duration::from_millis(300),
        wait: Duration::from_secs(1),
        round: Duration::from_millis(50),
        free_after: Duration::from_millis(500),
        pending: Duration::from_secs(1),
        down_out: Duration::from_secs(20),
        ..Limits::default()
    }
}

async fn millis(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// What came of a seed; the same each time.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    acknowledged: u64,
    reads: u64,
    elapsed: Duration,
}

impl Simulation {
    fn new(seed: u64, simulated: bool) -> Self {
        let mut dice = Dice::new(seed);
        let nodes = if dice.chance(75) { 3 } else { 4 + dice.index(2) };
        Self {
            bays: (0..nodes).map(|n| Bay::new(n, simulated, dice.fork())).collect(),
            keys: 1 + dice.below(25),
            dice,
            cluster: None,
            model: Shared::default(),
            faulty: None,
            clients: JoinSet::new(),
        }
    }

    fn cluster(&self) -> Arc<Cluster> {
        self.cluster.clone().expect("it is open")
    }

    async fn open(&mut self) {
        for _ in 0..10 {
            let absent = self.faulty.filter(|_| self.dice.chance(30));
            let nodes = self.bays.iter_mut().enumerate().map(|(n, bay)| {
                bay.kill();
                let mut config = bay.config();
                if absent == Some(n) {
                    bay.kill();
                    config.node = None;
                }
                config
            });
            let nodes = nodes.collect();
            let random = Mutex::new(self.dice.fork());
            let random = move || {
                let mut dice = random.lock().expect("dice");
                let (first, second) = (dice.next().to_be_bytes(), dice.next().to_be_bytes());
                std::array::from_fn(|n| if n < 8 { first[n] } else { second[n - 8] })
            };
            let config = Config {
                nodes,
                replicas: 3,
                limits: limits(),
                random: Arc::new(random),
                accept_loss: BTreeSet::new(),
            };
            match Cluster::open(config).await {
                Ok(cluster) => {
                    self.cluster = Some(cluster);
                    return;
                }
                Err(fault) => log::warn!("it doesn't open: {fault}"),
            }
            millis(100).await;
        }
        panic!("the cluster doesn't open");
    }

    fn send_clients(&mut self) {
        for _ in 0..=self.dice.below(4) {
            let client = Client {
                cluster: self.cluster(),
                model: self.model.clone(),
                dice: self.dice.fork(),
                keys: self.keys,
            };
            let steps = self.dice.below(60);
            self.clients.spawn(client.run(steps));
        }
    }

    async fn join_clients(&mut self) {
        while let Some(result) = self.clients.join_next().await {
            result.expect("no client panics");
        }
    }

    /// The process dies, and the power goes.
    async fn crash(&mut self) {
        self.bays.iter_mut().for_each(Bay::kill);
        self.clients.abort_all();
        while let Some(result) = self.clients.join_next().await {
            assert!(!result.is_err_and(|ended| ended.is_panic()), "no client panics");
        }
        self.cluster = None;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    fn attach(&mut self, bay: usize) {
        self.bays[bay].kill();
        let opened = self.bays[bay].open();
        let (node, damaged) = match opened {
            Some(opened) => opened,
            None => {
                self.bays[bay].replace_disk();
                self.bays[bay].open().expect("an empty disk opens")
            }
        };
        let name = self.bays[bay].name.clone();
        self.cluster().attach_node(&name, node, damaged).expect("it is known");
    }

    /// Waits until every node has everything, opening those again that have given up.
    async fn healed(&mut self) {
        let end = Instant::now() + Duration::from_secs(600);
        let mut tries = 0_u64;
        loop {
            let status = self.cluster().status().await;
            let up = status.nodes.iter().all(|node| node.health == Health::Up);
            if up && status.slots_to_heal == 0 && status.slots_moving == 0 {
                self.faulty = None;
                return;
            }
            assert!(Instant::now() < end, "it isn't healed: {status:#?}");
            tries += 1;
            for node in status.nodes.iter().filter(|_| tries.is_multiple_of(20)) {
                let bay = self.bays.iter().position(|bay| bay.name == node.name);
                if let (Health::Down(_), Some(bay)) = (&node.health, bay) {
                    self.attach(bay);
                }
            }
            millis(100).await;
        }
    }

    async fn fault(&mut self) {
        let bay = self.faulty.unwrap_or(self.dice.index(self.bays.len()));
        self.faulty = Some(bay);
        match self.dice.below(12) {
            0..3 => {
                self.bays[bay].kill();
                millis(self.dice.below(1500)).await;
                self.attach(bay);
            }
            3..5 => {
                self.bays[bay].replace_disk();
                millis(self.dice.below(1500)).await;
                self.attach(bay);
            }
            5..8 => {
                self.bays[bay].hang(true);
                millis(self.dice.below(1500)).await;
                self.bays[bay].hang(false);
            }
            8 => {
                self.bays[bay].fill(true);
                millis(self.dice.below(3000)).await;
                self.bays[bay].fill(false);
            }
            9 => {
                self.bays[bay].rot();
                self.scrubbed().await;
            }
            10 => {
                self.healed().await;
                self.most_away().await;
            }
            _ => {
                self.healed().await;
                self.change_nodes().await;
            }
        }
        if self.dice.chance(60) {
            self.healed().await;
        }
    }

    /// More than half of the nodes are away for some time; their disks are good.
    async fn most_away(&mut self) {
        let first = self.dice.index(self.bays.len());
        let away: Vec<_> =
            (0..=self.bays.len() / 2).map(|n| (first + n) % self.bays.len()).collect();
        let hangs = self.dice.chance(50);
        if self.dice.chance(30) {
            return self.most_full(away).await;
        }
        for bay in &away {
            if hangs {
                self.bays[*bay].hang(true)
            } else {
                self.bays[*bay].kill()
            }
            millis(self.dice.below(20)).await;
        }
        millis(self.dice.below(3000)).await;
        for bay in away {
            if hangs {
                self.bays[bay].hang(false)
            } else {
                self.attach(bay)
            }
            millis(self.dice.below(300)).await;
        }
        self.healed().await;
    }

    /// More than half of the nodes fill up, one after the other, and have room again.
    async fn most_full(&mut self, bays: Vec<usize>) {
        for bay in &bays {
            self.bays[*bay].fill(true);
            millis(self.dice.below(500)).await;
        }
        millis(self.dice.below(3000)).await;
        for bay in bays {
            self.bays[bay].fill(false);
            millis(self.dice.below(300)).await;
        }
        self.healed().await;
    }

    async fn scrubbed(&mut self) {
        self.healed().await;
        let before = self.cluster().status().await.scrubs;
        self.cluster().scrub();
        let end = Instant::now() + Duration::from_secs(600);
        while self.cluster().status().await.scrubs == before {
            assert!(Instant::now() < end, "the scrub doesn't end");
            self.healed().await;
            millis(200).await;
        }
        self.healed().await;
    }

    async fn change_nodes(&mut self) {
        let cluster = self.cluster();
        if self.bays.len() > 3 && self.dice.chance(50) {
            let bay = self.dice.index(self.bays.len());
            let name = self.bays[bay].name.clone();
            cluster.remove_node(&name).await.expect("enough are left");
            let end = Instant::now() + Duration::from_secs(600);
            while cluster.status().await.nodes.iter().any(|node| node.name == name) {
                assert!(Instant::now() < end, "{name} isn't drained");
                self.healed().await;
                millis(50).await;
            }
            self.bays.remove(bay).kill();
        } else if self.bays.len() < 6 {
            let simulated = self.bays[0].is_simulated();
            let mut bay = Bay::new(self.dice.index(1 << 30), simulated, self.dice.fork());
            cluster.add_node(bay.config()).await.expect("it is taken in");
            self.bays.push(bay);
        }
        self.healed().await;
    }

    async fn run(&mut self) {
        self.open().await;
        for _ in 0..=self.dice.below(3) {
            self.send_clients();
            for _ in 0..self.dice.below(4) {
                millis(self.dice.below(500)).await;
                self.fault().await;
            }
            if self.dice.chance(50) {
                millis(self.dice.below(400)).await;
                self.crash().await;
                self.open().await;
            } else {
                self.join_clients().await;
            }
        }
        self.join_clients().await;
        // Nodes that were absent at the last opening.
        for bay in 0..self.bays.len() {
            if self.bays[bay].is_killed() {
                self.attach(bay);
            }
        }
        self.healed().await;
        self.verify().await;
        self.cluster().close().await;
    }

    /// Every place reads as the model says, and all replicas are equal.
    async fn verify(&mut self) {
        let mut client = Client {
            cluster: self.cluster(),
            model: self.model.clone(),
            dice: self.dice.fork(),
            keys: self.keys,
        };
        client.list().await.expect("all nodes are there");
        let keys = self.model.lock().expect("model").keys();
        for key in keys {
            client.read_both(key).await.expect("all nodes are there");
        }
        drop(client);
        // Bodies that nobody committed, and blobs that were replaced.
        millis(5_000).await;
        self.healed().await;
        self.cluster().sweep_orphans().await.expect("all nodes are there");
        self.compare().await;
    }

    async fn compare(&self) {
        let mut copies: BTreeMap<Bytes, Vec<Bytes>> = BTreeMap::new();
        for bay in &self.bays {
            let node = bay.inner();
            let scan = Scan { from: Bytes::from_static(&[1]), until: None, limit: usize::MAX };
            let mut referred = BTreeSet::new();
            for (key, value) in node.scan(scan).await.expect("it reads") {
                log::debug!("{}: {key:?} {:?}", bay.name, blobs(&value));
                referred.extend(blobs(&value));
                copies.entry(key).or_default().push(value);
            }
            let kept: BTreeSet<BlobId> =
                node.blobs(None, usize::MAX).await.expect("it reads").into_iter().collect();
            assert_eq!(kept, referred, "{}: the blobs aren't those of its records", bay.name);
            for id in kept {
                node.verify_blob(id).await.expect("it is whole");
            }
        }
        for (key, values) in copies {
            assert_eq!(values.len(), 3, "{key:?} has not three replicas");
            assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{key:?} differs");
        }
    }
}

/// The blobs of a record as it lies on a node.
fn blobs(value: &[u8]) -> Vec<BlobId> {
    let count = u32::from_be_bytes(value[9..13].try_into().expect("four bytes"));
    let ids = value[13..].chunks_exact(16).take(usize::try_from(count).expect("few"));
    ids.map(|id| BlobId(id.try_into().expect("sixteen bytes"))).collect()
}

static PANICKED: AtomicBool = AtomicBool::new(false);

/// A panic in a task of the cluster would end that task only.
fn watch_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::Relaxed);
        before(panic);
    }));
}

fn simulate(seed: u64, simulated: bool) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        let began = Instant::now();
        let mut simulation = Simulation::new(seed, simulated);
        simulation.run().await;
        let model = simulation.model.lock().expect("model");
        let (acknowledged, reads) = (model.acknowledged, model.reads);
        Outcome { acknowledged, reads, elapsed: began.elapsed() }
    });
    assert!(!PANICKED.load(Ordering::Relaxed), "a task panicked");
    outcome
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn simulate_many(simulated: bool, seeds: u64) {
    let _ = env_logger::builder().is_test(true).try_init();
    watch_panics();
    let first = number("FOGBANK_SIMULATION_FIRST", 1);
    let seeds = number("FOGBANK_SIMULATION_SEEDS", seeds);
    let (mut acknowledged, mut reads) = (0, 0);
    for seed in first..first + seeds {
        log::info!("seed {seed}");
        let result = std::panic::catch_unwind(|| simulate(seed, simulated));
        let Ok(outcome) = result else { panic!("seed {seed} failed") };
        acknowledged += outcome.acknowledged;
        reads += outcome.reads;
    }
    println!("{seeds} seeds: {acknowledged} acknowledged writes, {reads} checked reads");
    assert!(acknowledged > seeds && reads > seeds, "nothing happened");
}

#[test]
fn nothing_acknowledged_is_lost_in_memory() {
    simulate_many(false, 200);
}

#[test]
fn nothing_acknowledged_is_lost_on_simulated_disks() {
    simulate_many(true, 50);
}

#[test]
fn a_seed_is_a_history() {
    for seed in 1..6 {
        assert_eq!(simulate(seed, true), simulate(seed, true), "seed {seed}");
    }
}
