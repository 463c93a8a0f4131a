//! A whole agent over real sockets, with the simulated hypervisor and with QEMU.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use agent::{Choice, Config, Overcommit};
use contracts::{
    host::{Entry, MachineState, Observed, OffReason, Patch},
    link::{FromAgent, Question, ToAgent},
    machine::{Machine, Power},
};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command},
    time::{Duration, Instant},
};

mod guest;

const MACHINES: u64 = 5000;
const METADATA: &str = include_str!("metadata.json");

fn config(folder: &Path) -> Config {
    let at = |name: &str| folder.join(name);
    Config {
        data: at("data"),
        run: at("run"),
        server: at("server.sock"),
        vpc_control: at("vpc.sock"),
        ebs_control: at("ebs.sock"),
        nbd_socket: at("nbd.sock"),
        imds_socket: at("imds.sock"),
        services_socket: at("services.sock"),
        hypervisor: std::env::var("AGENT_HYPERVISOR").unwrap().parse::<Choice>().unwrap(),
        overcommit: Overcommit::default(),
        qemu: Config::default_qemu().to_owned(),
    }
}

/// The server's end of a connection.
struct Server {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Server {
    fn accept(listener: &UnixListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    fn send(&mut self, reset: bool, put: Vec<Entry>) {
        let patch = ToAgent::Patch(Patch { revision: 1, reset, put, remove: vec![] });
        let mut line = serde_json::to_vec(&patch).unwrap();
        line.push(b'\n');
        self.stream.write_all(&line).unwrap();
    }

    fn ask(&mut self, question: Question) {
        let mut line = serde_json::to_vec(&ToAgent::Ask(7, question)).unwrap();
        line.push(b'\n');
        self.stream.write_all(&line).unwrap();
    }

    fn receive(&mut self) -> FromAgent {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn next(&mut self) -> Observed {
        match self.receive() {
            FromAgent::Observed(observed) => observed,
            FromAgent::Answer(..) => panic!("nothing was asked"),
        }
    }

    /// Reads machine states until so many are in this state.
    fn wait(&mut self, count: u64, wanted: &MachineState) {
        let mut seen = 0;
        while seen < count {
            if matches!(self.next(), Observed::Machine(machine) if machine.state == *wanted) {
                seen += 1;
            }
        }
    }
}

fn machine(number: u64, power: Power) -> Machine {
    serde_json::from_value(serde_json::json!({
        "instance": format!("i-0{number:016x}"), "incarnation": 1, "power": power,
        "reboots": 0, "vcpus": 2, "threads_per_core": 2, "memory_mib": 64,
        "instance_type": "t3.micro", "disks": [], "nics": [],
        "metadata": serde_json::from_str::<serde_json::Value>(METADATA).unwrap(),
    }))
    .unwrap()
}

fn machines(power: Power) -> Vec<Entry> {
    (1..=MACHINES).map(|number| Entry::Machine(Box::new(machine(number, power)))).collect()
}

/// Kills its process when it goes out of scope.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The agent of the test below, in a process of its own.
#[test]
fn child() {
    if let Some(folder) = std::env::var_os("AGENT_FOLDER") {
        agent::run(config(Path::new(&folder))).unwrap();
    }
}

fn start(folder: &Path, hypervisor: &str) -> Killed {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child"]);
    command.env("AGENT_FOLDER", folder).env("AGENT_HYPERVISOR", hypervisor);
    Killed(command.spawn().unwrap())
}

#[test]
fn thousands_of_simulated_machines() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("server.sock")).unwrap();
    let first = start(folder.path(), "simulated");
    let mut server = Server::accept(&listener);
    assert!(matches!(server.next(), Observed::Host(host) if host.hypervisor == "simulated"));
    let started = Instant::now();
    server.send(true, vec![]);
    assert_eq!(server.next(), Observed::Complete);
    for entry in machines(Power::On) {
        server.send(false, vec![entry]);
    }
    server.wait(MACHINES, &MachineState::Running);
    eprintln!("{MACHINES} launches in {:?}", started.elapsed());

    // They outlive their agent.
    drop(first);
    let _second = start(folder.path(), "simulated");
    let mut server = Server::accept(&listener);
    server.wait(MACHINES, &MachineState::Running);
    server.send(true, machines(Power::Off { grace_ms: 1000 }));
    server.wait(MACHINES, &MachineState::Off(OffReason::Requested));
}
