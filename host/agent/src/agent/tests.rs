//! The agent's thread, driven by hand, with a hypervisor and cards that only take notes.

use super::*;
use contracts::{
    card::{EbsPatch, EbsRequest, VpcPatch, VpcRequest},
    host::{Entry, MachineState},
    instance_identity::{InstanceIdentity, SignedDocument},
    machine::{Disk, Nic},
    metadata::{Metadata, Options},
    network::Port,
    storage::Volume,
};
use hypervisor::{Accelerator, Adopted, NicSpec, VmSpec};
use std::{
    net::IpAddr,
    sync::{Mutex, mpsc},
};
use types::{
    ImageId, Mac, NetworkInterfaceId, ReservationId, ResourceId, SubnetId, Timestamp, VpcId,
};

/// What the hypervisor was told to do.
#[derive(Debug, Clone, PartialEq)]
enum Call {
    Launch(VmSpec),
    Stop(u128),
    Plug(Vec<NetworkInterfaceId>),
    Reboot(u32),
}

#[derive(Default)]
struct Notes {
    calls: Mutex<Vec<Call>>,
    found: Mutex<Vec<Adopted>>,
    refuse: bool,
}

impl Notes {
    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

impl Hypervisor for Notes {
    fn accelerator(&self) -> Accelerator {
        Accelerator::Tcg
    }
    fn uses_cards(&self) -> bool {
        true
    }
    fn adopt(&self) -> Vec<Adopted> {
        std::mem::take(&mut self.found.lock().unwrap())
    }
    fn launch(&self, spec: &VmSpec, _reboots: u32) -> anyhow::Result<()> {
        self.note(Call::Launch(spec.clone()));
        if self.refuse { anyhow::bail!("no memory") } else { Ok(()) }
    }
    fn stop(&self, _instance: InstanceId, grace: Duration) {
        self.note(Call::Stop(grace.as_millis()));
    }
    fn reboot(&self, _instance: InstanceId, reboots: u32, _grace: Duration) {
        self.note(Call::Reboot(reboots));
    }
    fn plug(&self, _instance: InstanceId, nics: Vec<NicSpec>) {
        self.note(Call::Plug(nics.iter().map(|nic| nic.port).collect()));
    }
    fn tidy(&self) {}
    fn forget(&self, _instance: InstanceId) {}
}

/// An agent, and the other ends of all that it talks to.
struct Bench {
    agent: Agent,
    notes: Arc<Notes>,
    inputs: Receiver<Input>,
    server: Receiver<Vec<u8>>,
    ebs: Receiver<Vec<u8>>,
    vpc: Receiver<Vec<u8>>,
    _folder: tempfile::TempDir,
}

fn instance() -> InstanceId {
    InstanceId::from_number(1)
}
fn volume() -> VolumeId {
    VolumeId::from_number(2)
}
fn port() -> NetworkInterfaceId {
    NetworkInterfaceId::from_number(3)
}

fn machine(incarnation: u64, power: Power) -> Machine {
    let metadata = Metadata {
        instance: instance(),
        account: "123456789012".parse().unwrap(),
        image: ImageId::from_number(1),
        reservation: ReservationId::from_number(1),
        launch_index: 0,
        instance_type: "t3.micro".to_owned(),
        architecture: "x86_64".to_owned(),
        zone: "us-east-1a".parse().unwrap(),
        launch_time: Timestamp::from_millis(0),
        public_key: None,
        user_data: None,
        interfaces: Vec::new(),
        block_devices: Vec::new(),
        instance_action: "none".to_owned(),
        life_cycle: "on-demand".to_owned(),
        tags: None,
        options: Options { enabled: true, token_required: true, hop_limit: 1 },
        private_domain: "ec2.internal".to_owned(),
        public_domain: None,
    };
    Machine {
        instance: instance(),
        incarnation,
        power,
        reboots: 0,
        vcpus: 2,
        threads_per_core: 2,
        memory_mib: 1024,
        instance_type: "t3.micro".to_owned(),
        disks: vec![Disk { volume: volume(), device_name: "/dev/xvda".to_owned() }],
        spare_slots: None,
        nics: vec![Nic { port: port(), mac: Mac([2, 0, 0, 0, 0, 1]), mtu: 9001 }],
        metadata: Box::new(metadata),
    }
}

fn volume_entry(delete: bool) -> Entry {
    Entry::Volume(Volume { id: volume(), size_bytes: 1 << 30, source: None, delete })
}

/// Another instance with the same interface.
fn second(power: Power) -> Machine {
    let mut machine = machine(1, power);
    machine.instance = InstanceId::from_number(7);
    machine.metadata.instance = machine.instance;
    machine.disks = Vec::new();
    machine
}

fn port_entry() -> Entry {
    Entry::Port(Port {
        id: port(),
        vpc: VpcId::from_number(4),
        subnet: SubnetId::from_number(5),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 9001,
        addresses: Vec::new(),
        ipv6: Vec::new(),
        ipv6_prefixes: Vec::new(),
        groups: Vec::new(),
        source_dest_check: true,
        host_name: "ip-10-0-0-1".to_owned(),
        resource_name: None,
        metadata_hop_limit: 1,
        connections: None,
        metadata_ipv6: false,
    })
}

fn applied() -> Reply {
    Reply::Applied { failed: BTreeMap::new() }
}

impl Bench {
    fn new(notes: Notes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let config = Config {
            data: at("data"),
            run: at("run"),
            server: at("server.sock"),
            vpc_control: at("vpc.sock"),
            ebs_control: at("ebs.sock"),
            nbd_socket: at("nbd.sock"),
            imds_socket: at("imds.sock"),
            services_socket: at("services.sock"),
            hypervisor: crate::Choice::Tcg,
            overcommit: crate::Overcommit::default(),
            qemu: at("qemu"),
        };
        let notes = Arc::new(notes);
        let (inbox, inputs) = mpsc::channel();
        let mut agent =
            Agent::new(config, Arc::<Notes>::clone(&notes), Documents::default(), inbox);
        agent.adopt();
        let (outbox, server) = Outbox::pair();
        agent.take(Input::Server(Peer::Up(outbox)));
        let (outbox, ebs) = Outbox::pair();
        agent.take(Input::Ebs(Peer::Up(outbox)));
        let (outbox, vpc) = Outbox::pair();
        agent.take(Input::Vpc(Peer::Up(outbox)));
        agent.reconcile();
        Self { agent, notes, inputs, server, ebs, vpc, _folder: folder }
    }

    fn take(&mut self, input: Input) {
        self.agent.take(input);
        self.agent.reconcile();
    }

    fn patch(&mut self, reset: bool, put: Vec<Entry>, remove: Vec<EntryKey>) {
        let patch = Patch { revision: 1, reset, put, remove };
        self.take(Input::Server(Peer::Said(Box::new(ToAgent::Patch(patch)))));
    }

    fn power(&mut self, incarnation: u64, power: Power) {
        let entry = Entry::Machine(Box::new(machine(incarnation, power)));
        self.patch(false, vec![entry], vec![]);
    }

    fn whole(&mut self, power: Power) {
        let entry = Entry::Machine(Box::new(machine(1, power)));
        self.patch(true, vec![entry, volume_entry(false), port_entry()], vec![]);
    }

    fn ebs_patch(&self) -> Option<EbsPatch> {
        let line = self.ebs.try_recv().ok()?;
        match serde_json::from_slice(&line).unwrap() {
            EbsRequest::Apply(patch) => Some(patch),
            EbsRequest::Status => None,
        }
    }

    fn vpc_patch(&self) -> Option<VpcPatch> {
        let line = self.vpc.try_recv().ok()?;
        match serde_json::from_slice(&line).unwrap() {
            VpcRequest::Apply(patch) => Some(patch),
            VpcRequest::Status => None,
        }
    }

    fn ebs_says(&mut self, reply: Reply) {
        self.take(Input::Ebs(Peer::Said(Box::new(reply))));
    }

    fn vpc_says(&mut self, reply: Reply) {
        self.take(Input::Vpc(Peer::Said(Box::new(reply))));
    }

    /// What the server was told since last asked, without capacities.
    fn told(&self) -> Vec<Observed> {
        let lines = self.server.try_iter();
        let observed = lines.map(|line| match serde_json::from_slice(&line).unwrap() {
            FromAgent::Observed(observed) => observed,
            FromAgent::Answer(..) => panic!("nothing was asked"),
        });
        observed.filter(|observed| !matches!(observed, Observed::Host(_))).collect()
    }

    fn states(&self) -> Vec<MachineState> {
        let machine = |observed| match observed {
            Observed::Machine(machine) => Some(machine.state),
            Observed::Host(_) | Observed::Volume(_) | Observed::Complete => None,
        };
        self.told().into_iter().filter_map(machine).collect()
    }

    fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.notes.calls.lock().unwrap())
    }

    /// Waits for the launch's thread.
    fn finish_launch(&mut self) {
        let input = self.inputs.recv_timeout(Duration::from_secs(10)).unwrap();
        self.take(input);
    }

    fn off(&mut self, reason: OffReason) {
        let event = Event::Off { instance: instance(), incarnation: 1, reason };
        self.take(Input::Vm(event));
    }

    fn started() -> Self {
        let mut bench = Self::new(Notes::default());
        bench.whole(Power::On);
        bench.ebs_says(applied());
        bench.vpc_says(applied());
        bench.finish_launch();
        assert_eq!(bench.states(), [MachineState::Starting, MachineState::Running]);
        bench.calls();
        while bench.ebs_patch().is_some() || bench.vpc_patch().is_some() {}
        bench
    }
}

#[test]
fn metadata_over_ipv6_comes_and_goes_with_its_option() {
    let mut bench = Bench::started();
    let own = "fd00:ec2::254".parse::<IpAddr>().unwrap();
    for (wanted, services) in [(true, 4), (false, 3)] {
        let Entry::Port(port) = port_entry() else { panic!("it is a port") };
        let entry = Entry::Port(Port { metadata_ipv6: wanted, metadata_hop_limit: 2, ..port });
        bench.patch(false, vec![entry], vec![]);
        let patch = bench.vpc_patch().unwrap();
        let offered = &patch.ports[0].services;
        assert_eq!(offered.len(), services);
        let there = offered.iter().find(|service| service.address == own);
        assert_eq!(there.map(|at| (at.port, at.hop_limit)), wanted.then_some((80, 2)));
        bench.vpc_says(applied());
    }
}

#[test]
fn cards_come_first() {
    let mut bench = Bench::new(Notes::default());
    assert!(bench.ebs_patch().is_none(), "nothing is changed before the server has spoken");
    bench.whole(Power::On);
    let ebs = bench.ebs_patch().unwrap();
    assert!(ebs.reset);
    let export = ebs.serve[0].export.clone().unwrap();
    assert_eq!(export.len(), 32);
    let vpc = bench.vpc_patch().unwrap();
    assert!(vpc.reset);
    assert_eq!(vpc.ports[0].services[0].port, 80);

    bench.vpc_says(applied());
    assert_eq!(bench.calls(), [], "the disk is missing");
    bench.ebs_says(applied());
    bench.finish_launch();
    let calls = bench.calls();
    let [Call::Launch(spec)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(spec.disks[0].export, export);
    assert_eq!(spec.nics[0].socket, vpc.ports[0].socket);
    let told = bench.told();
    let ready = VolumeObserved { volume: volume(), state: VolumeState::Ready };
    assert!(told.contains(&Observed::Volume(ready)), "{told:?}");
    assert!(told.contains(&Observed::Complete), "{told:?}");
}

#[test]
fn off_is_reported_when_all_is_released() {
    let mut bench = Bench::started();
    bench.power(1, Power::Off { grace_ms: 5000 });
    bench.power(1, Power::Off { grace_ms: 5000 });
    bench.power(1, Power::Off { grace_ms: 0 });
    assert_eq!(bench.calls(), [Call::Stop(5000), Call::Stop(0)]);
    bench.off(OffReason::Requested);
    assert_eq!(bench.ebs_patch().unwrap().serve[0].export, None);
    assert_eq!(bench.vpc_patch().unwrap().remove_ports, [port()]);
    bench.ebs_says(applied());
    assert_eq!(bench.states(), []);
    bench.vpc_says(applied());
    assert_eq!(bench.states(), [MachineState::Off(OffReason::Requested)]);
    // It is not started again, but the next one is.
    bench.power(1, Power::On);
    assert_eq!(bench.states(), []);
    bench.power(2, Power::On);
    assert_eq!(bench.states(), [MachineState::Starting]);
}

#[test]
fn a_volume_is_deleted_after_its_vm() {
    let mut bench = Bench::started();
    let key = EntryKey::Machine(instance());
    bench.patch(false, vec![volume_entry(true)], vec![key, EntryKey::Port(port())]);
    assert_eq!(bench.calls(), [Call::Stop(0)]);
    assert!(bench.ebs_patch().is_none());
    assert!(bench.vpc_patch().is_none(), "the VM keeps its port");
    bench.off(OffReason::Requested);
    let patch = bench.ebs_patch().unwrap();
    assert_eq!((patch.serve.len(), patch.delete), (0, vec![volume()]));
    bench.ebs_says(applied());
    let deleted = VolumeObserved { volume: volume(), state: VolumeState::Deleted };
    assert_eq!(bench.told(), [Observed::Volume(deleted)]);
}

#[test]
fn failures_are_reported() {
    let mut bench = Bench::new(Notes::default());
    bench.whole(Power::On);
    let failed = [(volume().to_string(), "no space".to_owned())].into();
    bench.vpc_says(applied());
    bench.ebs_says(Reply::Applied { failed });
    // The export never was; the port is taken back.
    bench.vpc_says(applied());
    bench.ebs_says(applied());
    let failed = MachineState::Off(OffReason::LaunchFailed("no space".to_owned()));
    assert_eq!(bench.states().last(), Some(&failed));

    let mut bench = Bench::new(Notes { refuse: true, ..Notes::default() });
    bench.whole(Power::On);
    bench.vpc_says(applied());
    bench.ebs_says(applied());
    bench.finish_launch();
    bench.vpc_says(applied());
    bench.ebs_says(applied());
    let failed = MachineState::Off(OffReason::LaunchFailed("no memory".to_owned()));
    assert_eq!(bench.states().last(), Some(&failed));
}

#[test]
fn a_card_that_returns_gets_everything() {
    let mut bench = Bench::started();
    bench.take(Input::Ebs(Peer::Down));
    bench.take(Input::Vpc(Peer::Down));
    assert_eq!(bench.calls(), []);
    let (outbox, ebs) = Outbox::pair();
    bench.ebs = ebs;
    bench.take(Input::Ebs(Peer::Up(outbox)));
    let patch = bench.ebs_patch().unwrap();
    assert!(patch.reset && patch.serve[0].export.is_some());
    let (outbox, vpc) = Outbox::pair();
    bench.vpc = vpc;
    bench.take(Input::Vpc(Peer::Up(outbox)));
    let patch = bench.vpc_patch().unwrap();
    assert!(patch.reset && patch.ports.len() == 1);
}

#[test]
fn reboots_are_done_once() {
    let mut bench = Bench::started();
    let mut wanted = machine(1, Power::On);
    wanted.reboots = 1;
    for _ in 0..2 {
        bench.patch(false, vec![Entry::Machine(Box::new(wanted.clone()))], vec![]);
    }
    assert_eq!(bench.calls(), [Call::Reboot(1)]);
}

#[test]
fn interfaces_come_and_go() {
    let mut bench = Bench::started();
    let new = NetworkInterfaceId::from_number(77);
    let Entry::Port(mut port_of_new) = port_entry() else { panic!("no port") };
    port_of_new.id = new;
    let mut wanted = machine(1, Power::On);
    wanted.nics.push(Nic { port: new, ..wanted.nics[0].clone() });
    let entry = Entry::Machine(Box::new(wanted));
    bench.patch(false, vec![entry, Entry::Port(port_of_new)], vec![]);
    assert_eq!(bench.vpc_patch().unwrap().ports[0].port.id, new);
    assert_eq!(bench.calls(), [], "the card comes first");
    bench.vpc_says(applied());
    assert_eq!(bench.calls(), [Call::Plug(vec![port(), new])]);
    let devices = |ports| Event::Devices { instance: instance(), incarnation: 1, ports };
    let ports = |bench: &Bench| match bench.told().pop() {
        Some(Observed::Machine(told)) => told.ports,
        told => panic!("{told:?}"),
    };
    bench.take(Input::Vm(devices(vec![port(), new])));
    assert_eq!(ports(&bench), Some(vec![port(), new]));

    // The card is gone for a moment: the guest keeps what it has.
    bench.take(Input::Vpc(Peer::Down));
    let (outbox, vpc) = Outbox::pair();
    bench.vpc = vpc;
    bench.take(Input::Vpc(Peer::Up(outbox)));
    assert_eq!(bench.vpc_patch().unwrap().ports.len(), 2);
    bench.vpc_says(applied());
    assert_eq!(bench.calls(), []);

    bench.patch(false, vec![Entry::Machine(Box::new(machine(1, Power::On)))], vec![]);
    assert_eq!(bench.calls(), [Call::Plug(vec![port()])]);
    assert!(bench.vpc_patch().is_none(), "the guest has it still");
    bench.take(Input::Vm(devices(vec![port()])));
    assert_eq!(ports(&bench), Some(vec![port()]));
    assert_eq!(bench.vpc_patch().unwrap().remove_ports, [new]);
}

#[test]
fn what_ran_goes_on() {
    let first = Bench::started();
    let local = first.agent.machines.0[&instance()].clone();
    let mut spec = VmSpec::new(&machine(1, Power::On), local.uid);
    (spec.disks, spec.nics) = (local.disks, local.nics);
    let export = spec.disks[0].export.clone();
    let found = Adopted {
        instance: instance(),
        incarnation: 1,
        spec: Some(spec),
        reboots: 0,
        ended: None,
        at: now(),
    };
    let mut bench = Bench::new(Notes { found: Mutex::new(vec![found]), ..Notes::default() });
    assert_eq!(bench.states(), [MachineState::Running]);
    bench.whole(Power::On);
    let patch = bench.ebs_patch().unwrap();
    assert_eq!(patch.serve[0].export.as_ref(), Some(&export));
    bench.ebs_says(applied());
    bench.vpc_says(applied());
    assert_eq!(bench.calls(), []);
    assert_eq!(bench.told().last(), Some(&Observed::Complete));
    // A guest that powers off while the server knows it as on.
    bench.off(OffReason::Guest);
    bench.ebs_says(applied());
    bench.vpc_says(applied());
    assert_eq!(bench.states(), [MachineState::Off(OffReason::Guest)]);
}

#[test]
fn stopped_before_it_was_started() {
    let mut bench = Bench::new(Notes::default());
    bench.whole(Power::Off { grace_ms: 0 });
    assert_eq!(bench.states(), [MachineState::Off(OffReason::Requested)]);
    // It holds nothing, is told of once, and is kept.
    assert!(bench.ebs_patch().unwrap().serve[0].export.is_none());
    assert!(bench.vpc_patch().unwrap().ports.is_empty());
    bench.ebs_says(applied());
    bench.vpc_says(applied());
    bench.power(1, Power::Off { grace_ms: 0 });
    assert_eq!(bench.states(), []);
    assert!(bench.agent.machines.0[&instance()].unwanted.is_none());
    assert!(bench.agent.documents.get(port()).is_none());
}

#[test]
fn a_console_without_output() {
    let bench = Bench::new(Notes::default());
    let Ok(Answer::Console { output, .. }) = bench.agent.console(instance()) else {
        panic!("an error")
    };
    assert_eq!(output, "");
}

#[test]
fn an_interface_moves() {
    let mut bench = Bench::started();
    assert_eq!(bench.agent.documents.get(port()).unwrap().instance, instance());
    bench.power(1, Power::Off { grace_ms: 0 });
    // The other one is wanted before the card was told to let go of the interface.
    let reason = OffReason::Requested;
    bench.agent.take(Input::Vm(Event::Off { instance: instance(), incarnation: 1, reason }));
    bench.patch(false, vec![Entry::Machine(Box::new(second(Power::On)))], vec![]);
    for _ in 0..3 {
        bench.ebs_says(applied());
        bench.vpc_says(applied());
    }
    while let Some(patch) = bench.vpc_patch() {
        assert_eq!(patch.remove_ports, []);
    }
    bench.finish_launch();
    let states = bench.states();
    assert!(states.contains(&MachineState::Off(OffReason::Requested)), "{states:?}");
    assert_eq!(states.last(), Some(&MachineState::Running));
    bench.patch(false, vec![], vec![EntryKey::Machine(instance())]);
    let other = InstanceId::from_number(7);
    assert_eq!(bench.agent.documents.get(port()).unwrap().instance, other);
    assert_eq!(bench.vpc_patch().map(|patch| patch.remove_ports), None);
}

#[test]
fn never_as_root() {
    let mut bench = Bench::new(Notes::default());
    let Some(uids) = bench.agent.config.uids() else { return };
    for uid in uids {
        let mut local = Local::new(&machine(1, Power::On), Phase::Running);
        local.uid = Some(uid);
        bench.agent.machines.0.insert(InstanceId::from_number(u64::from(uid)), local);
    }
    bench.whole(Power::On);
    let states = bench.states();
    assert!(
        matches!(states.first(), Some(MachineState::Off(OffReason::LaunchFailed(_)))),
        "{states:?}"
    );
}

fn identity(instance: InstanceId) -> InstanceIdentity {
    let text = String::new;
    let signed = SignedDocument { document: text(), signature: text(), pkcs7: text() };
    InstanceIdentity { instance, signed, profile: None }
}

#[test]
fn an_identity_is_held_for_as_long_as_its_instance_is_wanted() {
    let mut bench = Bench::started();
    let (ours, other) = (identity(instance()), identity(InstanceId::from_number(7)));
    let held = |bench: &Bench| bench.agent.documents.of(port()).unwrap().1;
    assert_eq!(held(&bench), None);
    for identity in [&ours, &other] {
        let said = ToAgent::Identity(Box::new(identity.clone()));
        bench.take(Input::Server(Peer::Said(Box::new(said))));
    }
    assert_eq!(held(&bench).as_deref(), Some(&ours));
    // A server that comes again says what is wanted before it proves anything.
    bench.whole(Power::On);
    assert_eq!(held(&bench).as_deref(), Some(&ours));
    bench.patch(false, vec![], vec![EntryKey::Machine(instance())]);
    assert_eq!(held(&bench), None);
}
