//! A simulated cloud: seeded random calls, hosts that fail and reboot, a clock that jumps. After
//! each step the invariants hold; when the faults end, what is desired comes to be observed.

use contracts::{
    host::{
        Capacity, Entry, MachineObserved, MachineState, Observed, OffReason, VolumeObserved,
        VolumeState,
    },
    machine::{Machine, Power},
};
use ec2::{
    Settings,
    compute::{
        images::{Image, QuickStart, register_quick_start},
        instances::{self, Instance, InstanceState},
    },
    desired,
    ebs::volumes::Volume,
    hosts::{self, Host},
    vpc::{self, addresses::Address, network_interfaces::NetworkInterface},
};
use iam::{Caller, Request};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use shapes::{Fault, ec2 as api};
use state::{Effects, State, Tx};
use std::collections::{BTreeMap, BTreeSet};
use types::{AccountId, InstanceId, Ipv4Net, Scope, Timestamp, VolumeId};

const HOST: &str = "local";

/// A VM of the simulated host.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Vm {
    Starting,
    Running,
    Ended,
}

struct World {
    state: State,
    stored: BTreeMap<(String, String), Vec<u8>>,
    random: ChaCha8Rng,
    now: i64,
    /// By instance: the incarnation and what became of it.
    vms: BTreeMap<InstanceId, (u64, Vm)>,
    volumes: BTreeSet<VolumeId>,
    boots: u32,
    faults: bool,
}

fn tables() -> Vec<state::TableDef> {
    let mut tables = iam::tables();
    tables.extend(ec2::tables());
    tables
}

fn request() -> Request {
    let scope = Scope { account: AccountId::DEFAULT, region: "us-east-1".parse().unwrap() };
    Request { caller: Caller::root(scope.account), scope }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            state: State::new(&tables()),
            stored: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            now: 1_700_000_000_000,
            vms: BTreeMap::new(),
            volumes: BTreeSet::new(),
            boots: 0,
            faults: true,
        };
        world
            .apply(|tx| {
                vpc::defaults::set_up(tx, &request().scope);
                // Few public addresses, so that the pool runs dry at times.
                let public_pool: Ipv4Net = "198.18.4.0/28".parse().unwrap();
                tx.put(Settings {
                    public_pool,
                    vcpu_overcommit: 4,
                    memory_overcommit_percent: 100,
                    ..Settings::default()
                });
                register_quick_start(
                    tx,
                    QuickStart {
                        name: "tiny".to_owned(),
                        description: "tiny".to_owned(),
                        content: "tiny".to_owned(),
                        size_gib: 1,
                        root_device_name: "/dev/xvda".to_owned(),
                        boot_mode: "legacy-bios".to_owned(),
                        architecture: "x86_64".to_owned(),
                        login: "ec2-user".to_owned(),
                        creation: Timestamp::default(),
                    },
                );
                Ok(())
            })
            .unwrap();
        world.join();
        world
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.next_u64() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())).cloned() }
    }

    /// One transaction, as the server runs it.
    fn apply<T>(&mut self, run: impl FnOnce(&mut Tx) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        let mut tx = Tx::new(&self.state, Effects::new(Timestamp::from_millis(self.now), seed));
        let result = run(&mut tx);
        if let Err(fault) = &result {
            assert!(fault.code != "InternalError", "{fault}");
            return result;
        }
        let (after, changes) = tx.finish();
        for row in changes.stored() {
            let key = (row.table.to_owned(), row.key);
            match row.value {
                Some(value) => self.stored.insert(key, value),
                None => self.stored.remove(&key),
            };
        }
        // What changed is what the hosts are told about: nothing else may differ.
        let told = desired::affected(&self.state, &after, &changes);
        for entry in desired::all(&after, HOST) {
            let before = desired::entry(&self.state, HOST, entry.key());
            assert!(
                before.as_ref() == Some(&entry) || told.contains(&entry.key()),
                "nobody is told of {:?}",
                entry.key()
            );
        }
        self.state = after;
        result
    }

    fn observe(&mut self, observed: Observed) {
        self.apply(|tx| {
            hosts::observe(tx, HOST, observed);
            Ok(())
        })
        .unwrap();
    }

    fn join(&mut self) {
        self.boots += 1;
        let boot_id = self.boots.to_string();
        let hypervisor = "simulated".to_owned();
        self.observe(Observed::Host(Capacity { vcpus: 8, memory_mib: 16384, hypervisor, boot_id }));
        let vms = self.vms.clone();
        for (instance, (incarnation, vm)) in vms {
            self.report(instance, incarnation, vm, OffReason::HostRebooted);
        }
        self.observe(Observed::Complete);
    }

    fn report(&mut self, instance: InstanceId, incarnation: u64, vm: Vm, why: OffReason) {
        let state = match vm {
            Vm::Starting => MachineState::Starting,
            Vm::Running => MachineState::Running,
            Vm::Ended => MachineState::Off(why),
        };
        let at = Timestamp::from_millis(self.now);
        self.observe(Observed::Machine(MachineObserved { instance, incarnation, state, at }));
    }

    fn end(&mut self, instance: InstanceId, why: OffReason) {
        if let Some((incarnation, vm)) = self.vms.get_mut(&instance) {
            *vm = Vm::Ended;
            let incarnation = *incarnation;
            self.report(instance, incarnation, Vm::Ended, why);
        }
    }

    /// The agent makes one random entry of the desired state so.
    fn reconcile_one(&mut self) {
        let entries = desired::all(&self.state, HOST);
        let Some(entry) = self.pick(&entries) else { return };
        match entry {
            Entry::Machine(machine) => self.reconcile_machine(&machine),
            Entry::Volume(volume) => {
                let state = if volume.delete {
                    self.volumes.remove(&volume.id);
                    VolumeState::Deleted
                } else {
                    self.volumes.insert(volume.id);
                    VolumeState::Ready
                };
                self.observe(Observed::Volume(VolumeObserved { volume: volume.id, state }));
            }
            Entry::Port(_)
            | Entry::Vpc(_)
            | Entry::Subnet(_)
            | Entry::Group(_)
            | Entry::NatGateway(_) => {}
        }
    }

    fn reconcile_machine(&mut self, machine: &Machine) {
        let id = machine.instance;
        let known = self.vms.get(&id).copied().filter(|(number, _)| *number == machine.incarnation);
        match (machine.power, known) {
            (Power::On, None) => {
                self.vms.insert(id, (machine.incarnation, Vm::Starting));
                if self.faults && self.chance(20) {
                    self.end(id, OffReason::LaunchFailed("no luck".to_owned()));
                } else {
                    self.report(id, machine.incarnation, Vm::Starting, OffReason::Requested);
                }
            }
            (Power::On, Some((number, Vm::Starting | Vm::Running))) => {
                self.vms.insert(id, (number, Vm::Running));
                self.report(id, number, Vm::Running, OffReason::Requested);
            }
            // An incarnation that ended is not started again.
            (Power::On, Some((number, Vm::Ended))) => {
                self.report(id, number, Vm::Ended, OffReason::Crashed("told again".to_owned()));
            }
            (Power::Off { .. }, _) => {
                self.vms.insert(id, (machine.incarnation, Vm::Ended));
                self.report(id, machine.incarnation, Vm::Ended, OffReason::Requested);
            }
        }
    }

    fn instances(&self) -> Vec<InstanceId> {
        self.state.iter::<Instance>().map(|row| row.id).collect()
    }

    fn call(&mut self) {
        let instances = self.instances();
        let one = self.pick(&instances);
        let ids = one.map(|id| vec![id.to_string()]);
        let request = request();
        // Refusals are part of life: what counts is that they leave no trace.
        let _ = match self.below(10) {
            0..=2 => self.run_instances(&request),
            3 => self.apply(|tx| {
                let input = api::StopInstancesRequest { instance_ids: ids, ..Default::default() };
                instances::stop_instances(tx, &request, input).map(drop)
            }),
            4 => self.apply(|tx| {
                let input = api::StartInstancesRequest { instance_ids: ids, ..Default::default() };
                instances::start_instances(tx, &request, input).map(drop)
            }),
            5 => self.apply(|tx| {
                let input = api::RebootInstancesRequest { instance_ids: ids, ..Default::default() };
                instances::reboot_instances(tx, &request, input).map(drop)
            }),
            6 => self.apply(|tx| {
                let input =
                    api::TerminateInstancesRequest { instance_ids: ids, ..Default::default() };
                instances::terminate_instances(tx, &request, input).map(drop)
            }),
            7 => self.apply(|tx| {
                let input = api::AllocateAddressRequest::default();
                vpc::addresses::allocate_address(tx, &request, input).map(drop)
            }),
            8 => self.associate(&request, one),
            _ => self.release(&request),
        };
    }

    fn run_instances(&mut self, request: &Request) -> Result<(), Fault> {
        let image = self.state.iter::<Image>().next().map(|image| image.id.to_string());
        let count = i32::try_from(1 + self.below(3)).unwrap();
        let kind = self.pick(&["t3.micro", "t3.small", "m5.large", "m5.metal"]).map(str::to_owned);
        let terminate = self.chance(3).then_some(api::ShutdownBehavior::Terminate);
        let client_token = self.chance(4).then(|| format!("token-{}", self.now % 5));
        self.apply(|tx| {
            let input = api::RunInstancesRequest {
                image_id: image,
                instance_type: kind,
                min_count: Some(1),
                max_count: Some(count),
                instance_initiated_shutdown_behavior: terminate,
                client_token,
                ..Default::default()
            };
            instances::run_instances(tx, request, input).map(drop)
        })
    }

    fn associate(&mut self, request: &Request, instance: Option<InstanceId>) -> Result<(), Fault> {
        let addresses = self.state.iter::<Address>().map(|row| row.id).collect::<Vec<_>>();
        let allocation_id = self.pick(&addresses).map(|id| id.to_string());
        let allow_reassociation = Some(self.chance(2));
        self.apply(|tx| {
            let input = api::AssociateAddressRequest {
                allocation_id,
                instance_id: instance.map(|id| id.to_string()),
                allow_reassociation,
                ..Default::default()
            };
            vpc::addresses::associate_address(tx, request, input).map(drop)
        })
    }

    fn release(&mut self, request: &Request) -> Result<(), Fault> {
        let rows = self.state.iter::<Address>().cloned().collect::<Vec<_>>();
        let Some(row) = self.pick(&rows) else { return Ok(()) };
        let association = row.association.as_ref().map(|association| association.id.to_string());
        self.apply(|tx| match association {
            Some(id) => {
                let association_id = Some(id);
                let input =
                    api::DisassociateAddressRequest { association_id, ..Default::default() };
                vpc::addresses::disassociate_address(tx, request, input).map(drop)
            }
            None => {
                let allocation_id = Some(row.id.to_string());
                let input = api::ReleaseAddressRequest { allocation_id, ..Default::default() };
                vpc::addresses::release_address(tx, request, input).map(drop)
            }
        })
    }

    fn fault(&mut self) {
        let running = self.vms.iter().filter(|(_, (_, vm))| *vm == Vm::Running);
        let running = running.map(|(id, _)| *id).collect::<Vec<_>>();
        match (self.below(6), self.pick(&running)) {
            (0 | 1, Some(id)) => self.end(id, OffReason::Guest),
            (2, Some(id)) => self.end(id, OffReason::Crashed("bad luck".to_owned())),
            (3, _) => {
                // The host loses its power, and all VMs with it.
                self.apply(|tx| {
                    hosts::left(tx, HOST);
                    Ok(())
                })
                .unwrap();
                for (_, vm) in self.vms.values_mut() {
                    *vm = Vm::Ended;
                }
                self.join();
            }
            (4, _) => {
                self.now += i64::try_from(self.below(7_200_000)).unwrap() - 600_000;
                self.apply(|tx| {
                    ec2::tick(tx);
                    Ok(())
                })
                .unwrap();
            }
            (5, _) if self.chance(4) => {
                self.apply(|tx| {
                    hosts::shut_down(tx);
                    Ok(())
                })
                .unwrap();
                for _ in 0..200 {
                    self.reconcile_one();
                }
                if self.chance(2) {
                    self.join();
                }
                self.apply(|tx| {
                    hosts::start_up(tx);
                    Ok(())
                })
                .unwrap();
            }
            _ => {}
        }
    }

    fn check(&self) {
        let (mut private, mut public) = (BTreeSet::new(), BTreeSet::new());
        for row in self.state.iter::<NetworkInterface>() {
            for address in &row.addresses {
                assert!(private.insert((row.subnet, address.ip)), "{} has two owners", address.ip);
                if let Some(at) = &address.public {
                    assert!(public.insert(at.ip), "{} has two owners", at.ip);
                }
            }
            if let Some(attachment) = &row.attachment {
                let instance = self.state.get::<Instance>(&attachment.instance);
                assert!(instance.is_some_and(|at| at.state != InstanceState::Terminated));
            }
        }
        for row in self.state.iter::<Address>() {
            match &row.association {
                // The interface says the same.
                Some(association) => {
                    let card = self.state.get::<NetworkInterface>(&association.interface).unwrap();
                    let own = card.addresses.iter().filter_map(|at| at.public.as_ref());
                    assert!(own.filter(|at| at.ip == row.ip).count() == 1);
                }
                None => assert!(public.insert(row.ip), "{} has two owners", row.ip),
            }
        }
        let mut used = hosts::Share::default();
        for row in self.state.iter::<Instance>() {
            let cards = vpc::network_interfaces::of_instance(&self.state, row.id);
            if row.state == InstanceState::Terminated {
                assert!(cards.is_empty(), "{} kept an interface", row.id);
            } else {
                assert_eq!(cards.first().unwrap().attachment.as_ref().unwrap().device_index, 0);
            }
            if row.state.holds_capacity() {
                used.vcpus += hosts::share(row).vcpus;
                used.memory_mib += hosts::share(row).memory_mib;
            }
        }
        assert_eq!(self.state.get::<Host>(&HOST.to_owned()).unwrap().used, used);
        for row in self.state.iter::<Volume>() {
            if let Some(attachment) = &row.attachment {
                let instance = self.state.get::<Instance>(&attachment.instance);
                assert!(instance.is_some_and(|at| at.state != InstanceState::Terminated));
            }
        }
    }

    /// A server that loads what was stored sees the same.
    fn check_store(&self) {
        let mut loaded = State::new(&tables());
        for ((table, _), value) in &self.stored {
            loaded.load(table, value).unwrap();
        }
        assert_eq!(desired::all(&loaded, HOST), desired::all(&self.state, HOST));
        assert_eq!(
            loaded.iter::<Instance>().collect::<Vec<_>>(),
            self.state.iter::<Instance>().collect::<Vec<_>>()
        );
    }

    fn settle(&mut self) {
        self.faults = false;
        for _ in 0..20 {
            if desired::quiescent(&self.state) {
                return;
            }
            for entry in desired::all(&self.state, HOST) {
                match entry {
                    Entry::Machine(machine) => self.reconcile_machine(&machine),
                    Entry::Volume(volume) => {
                        let state =
                            if volume.delete { VolumeState::Deleted } else { VolumeState::Ready };
                        self.observe(Observed::Volume(VolumeObserved { volume: volume.id, state }));
                    }
                    Entry::Port(_)
                    | Entry::Vpc(_)
                    | Entry::Subnet(_)
                    | Entry::Group(_)
                    | Entry::NatGateway(_) => {}
                }
            }
        }
        panic!("the cloud does not come to rest");
    }

    fn check_settled(&self) {
        for row in self.state.iter::<Instance>() {
            let vm = self.vms.get(&row.id).copied();
            let runs = vm == Some((row.incarnation, Vm::Running));
            assert_eq!(row.state == InstanceState::Running, runs, "{row:?} {vm:?}");
        }
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    let seeds = std::env::var("FOGBANK_SEEDS").ok().and_then(|text| text.parse().ok());
    for seed in 0..seeds.unwrap_or(12) {
        let mut world = World::new(seed);
        for step in 0..300 {
            world.now += 1000;
            match world.below(10) {
                0..=3 => world.call(),
                4..=8 => world.reconcile_one(),
                _ => world.fault(),
            }
            world.check();
            if step % 50 == 0 {
                world.check_store();
            }
        }
        world.settle();
        world.check();
        world.check_store();
        world.check_settled();
    }
}
