//! The switches that are measured: our card, DPDK's testpmd, Open vSwitch with DPDK.

use super::{Policy, peers::Packages};
use crate::workspace;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The guests' datagrams: ports 10,000 and up to 5001 and back.
const SERVED: u16 = 5001;
const NET: &str = "10.0.0.0/8";

/// A switch between two vhost-user ports.
pub trait Switch {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Where the ports' front ends connect.
    fn sockets(&self) -> [PathBuf; 2];
    /// Makes it decide so; false if it can't.
    fn decide(&mut self, policy: Policy) -> Result<bool>;
    /// Its processes.
    fn processes(&self) -> Vec<u32>;

    /// Lets it run.
    fn go_on(&self) -> Result<()> {
        self.processes().into_iter().try_for_each(|process| signal(process, "CONT"))
    }

    /// Stops it for others to run.
    fn pause(&self) -> Result<()> {
        self.processes().into_iter().try_for_each(|process| signal(process, "STOP"))
    }
}

fn signal(process: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status()?;
    ensure!(status.success(), "signal {name} to {process}");
    Ok(())
}

/// A process that ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process is ended as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("fogbank-bench-net-").tempdir()?)
}

fn wait_for(path: &Path) -> Result<()> {
    let began = Instant::now();
    while !path.exists() {
        ensure!(began.elapsed() < Duration::from_secs(30), "no {} in time", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The VPC card.
pub struct OurCard {
    control: BufReader<UnixStream>,
    process: Process,
    folder: TempDir,
}

impl OurCard {
    /// Starts a card without an uplink.
    pub fn start() -> Result<Self> {
        let folder = folder()?;
        let socket = folder.path().join("control");
        let child = Command::new("taskset")
            .args(["-c", "0"])
            .arg(workspace::target().join("release/examples/card"))
            .args([&socket, Path::new("-")])
            .arg("198.18.0.0/24")
            .env("LOG", "error")
            .spawn()
            .context("start the card")?;
        let process = Process(child);
        wait_for(&socket)?;
        let began = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if began.elapsed() > Duration::from_secs(5) => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Ok(Self { control: BufReader::new(stream), process, folder })
    }

    fn patch(&self, policy: Policy) -> Value {
        let udp = |from: usize| json!({"Udp": {"from": from, "to": from}});
        let all = json!([{"traffic": "All", "peer": {"Cidr": "0.0.0.0/0"}}]);
        let ingress = match policy {
            Policy::Open => all.clone(),
            Policy::Rules(rules) => (1..rules)
                .map(|at| 20_000 + at)
                .chain([usize::from(SERVED)])
                .map(|port| json!({"traffic": udp(port), "peer": {"Cidr": NET}}))
                .collect(),
        };
        let [vpc, subnet, group] =
            ["vpc", "subnet", "sg"].map(|kind| format!("{kind}-00000000000000001"));
        let sockets = self.sockets();
        let port = |at: usize| {
            let number = 10 + at;
            json!({
                "port": {
                    "id": format!("eni-0000000000000000{at}"), "vpc": vpc, "subnet": subnet,
                    "mac": format!("02:00:00:00:00:{number:02x}"), "mtu": 1500,
                    "addresses": [{"private": format!("10.0.0.{number}"), "public": null}],
                    "groups": [group], "source_dest_check": true, "host_name": "bench",
                    "metadata_hop_limit": 1,
                },
                "socket": sockets[at], "uid": null, "services": [],
            })
        };
        let entry = |egress: bool| {
            json!({"number": 1, "egress": egress, "allow": true, "traffic": "All",
                   "cidr": "0.0.0.0/0"})
        };
        json!({"Apply": {
            "reset": true, "ports": [port(0), port(1)], "remove_ports": [],
            "vpcs": [{
                "id": vpc, "cidrs": ["10.0.0.0/16"], "dns_support": true, "dns_hostnames": true,
                "private_domain": "ec2.internal", "public_domain": "amazonaws.com", "dhcp": {},
            }],
            "remove_vpcs": [],
            "subnets": [{
                "id": subnet, "vpc": vpc, "cidr": "10.0.0.0/24",
                "routes": [{"destination": "10.0.0.0/16", "target": "Local"}],
                "acl": [entry(true), entry(false)],
            }],
            "remove_subnets": [],
            "groups": [{
                "id": group, "vpc": vpc, "ingress": ingress, "egress": all, "members": [],
            }],
            "remove_groups": [],
        }})
    }
}

impl Switch for OurCard {
    fn name(&self) -> &'static str {
        "Fogbank"
    }

    fn sockets(&self) -> [PathBuf; 2] {
        ["a", "b"].map(|name| self.folder.path().join(name))
    }

    fn decide(&mut self, policy: Policy) -> Result<bool> {
        let mut request = self.patch(policy).to_string();
        request.push('\n');
        self.control.get_ref().write_all(request.as_bytes())?;
        let mut reply = String::new();
        self.control.read_line(&mut reply)?;
        ensure!(reply.contains(r#""failed":{}"#), "the card says {reply}");
        Ok(true)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.process.0.id()]
    }
}

/// DPDK's testpmd, which passes all frames from one port to the other unseen.
pub struct Testpmd {
    process: Process,
    folder: TempDir,
}

impl Testpmd {
    /// Starts it with two vhost-user ports.
    pub fn start(packages: &Packages) -> Result<Self> {
        let folder = folder()?;
        let port = |at: usize, name: &str| {
            let socket = folder.path().join(name);
            format!("net_vhost{at},iface={},queues=1", socket.display())
        };
        let mut command = Command::new(packages.program("usr/bin/dpdk-testpmd"));
        command.env("LD_LIBRARY_PATH", packages.libraries());
        command.env("XDG_RUNTIME_DIR", folder.path());
        command.args(["--lcores", "0@1,1@0", "--no-huge", "-m", "512", "--no-pci"]);
        command.args(["--no-telemetry", "--file-prefix", "fogbank-bench"]);
        for driver in packages.drivers()? {
            command.arg("-d").arg(driver);
        }
        command.args(["--vdev", &port(0, "a"), "--vdev", &port(1, "b"), "--"]);
        command.args(["--forward-mode=io", "--auto-start", "--no-mlockall"]);
        command.arg("--total-num-mbufs=16384");
        let log = File::create(folder.path().join("log"))?;
        // It ends with its input, which is open as long as the process is ours.
        let child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start testpmd")?;
        let testpmd = Self { process: Process(child), folder };
        testpmd.sockets().iter().try_for_each(|socket| wait_for(socket))?;
        testpmd.pause()?;
        Ok(testpmd)
    }
}

impl Switch for Testpmd {
    fn name(&self) -> &'static str {
        "testpmd"
    }

    fn sockets(&self) -> [PathBuf; 2] {
        ["a", "b"].map(|name| self.folder.path().join(name))
    }

    fn decide(&mut self, policy: Policy) -> Result<bool> {
        Ok(policy == Policy::Open)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.process.0.id()]
    }
}

/// Open vSwitch with DPDK; its rules are flows over its connection tracking.
pub struct OpenVSwitch {
    control: PathBuf,
    decided: Option<Policy>,
    libraries: std::ffi::OsString,
    switch: Process,
    _database: Process,
    folder: TempDir,
}

impl OpenVSwitch {
    /// Starts its database and the switch with two vhost-user ports.
    pub fn start(packages: &Packages) -> Result<Self> {
        let folder = folder()?;
        let place = folder.path();
        let program = |name: &str| {
            let mut command = Command::new(packages.program(name));
            command.env("LD_LIBRARY_PATH", packages.libraries()).env("XDG_RUNTIME_DIR", place);
            for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
                command.env(variable, place);
            }
            command.current_dir(place).stdout(Stdio::null());
            command
        };
        let run = |name: &str, words: &[&str]| {
            let output = program(name).args(words).output().with_context(|| name.to_owned())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.success(), "{name} {words:?}: {said}");
            Ok(())
        };
        let schema = packages.program("usr/share/openvswitch/vswitch.ovsschema");
        run("usr/bin/ovsdb-tool", &["create", "conf.db", &schema.display().to_string()])?;
        let server = program("usr/sbin/ovsdb-server")
            .args(["conf.db", "--remote=punix:db.sock"])
            .stderr(File::create(place.join("database.log"))?)
            .spawn()
            .context("start Open vSwitch's database")?;
        let database = Process(server);
        wait_for(&place.join("db.sock"))?;
        let mut extra = String::from(
            "other_config:dpdk-extra=--no-huge --legacy-mem --no-pci -m 2048 --no-telemetry \
             --file-prefix fogbank-bench-ovs",
        );
        for driver in packages.drivers()? {
            write!(extra, " -d {}", driver.display())?;
        }
        let set = "--no-wait --db=unix:db.sock set Open_vSwitch . other_config:dpdk-init=true \
                   other_config:pmd-cpu-mask=0x1 other_config:dpdk-lcore-mask=0x2";
        run("usr/bin/ovs-vsctl", &["--no-wait", "--db=unix:db.sock", "init"])?;
        let words: Vec<&str> = set.split_whitespace().chain([&*extra]).collect();
        run("usr/bin/ovs-vsctl", &words)?;
        let child = program("usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
            .args(["unix:db.sock", "--unixctl=ctl"])
            .stderr(File::create(place.join("log"))?)
            .spawn()
            .context("start Open vSwitch")?;
        let switch = Process(child);
        let bridge = "--timeout=60 --db=unix:db.sock add-br br0 -- set bridge br0 \
                      datapath_type=netdev -- add-port br0 a -- set Interface a \
                      type=dpdkvhostuser -- add-port br0 b -- set Interface b type=dpdkvhostuser";
        run("usr/bin/ovs-vsctl", &bridge.split_whitespace().collect::<Vec<_>>())?;
        let control = packages.program("usr/bin/ovs-ofctl");
        let libraries = packages.libraries();
        let ovs = Self { control, decided: None, libraries, switch, _database: database, folder };
        ovs.sockets().iter().try_for_each(|socket| wait_for(socket))?;
        ovs.pause()?;
        Ok(ovs)
    }

    fn flows(policy: Policy) -> String {
        let Policy::Rules(rules) = policy else {
            return "in_port=a,actions=output:b\nin_port=b,actions=output:a\n".to_owned();
        };
        let mut flows = String::from(
            "table=0,priority=5,ip,actions=ct(table=1)\n\
             table=1,priority=10,ct_state=+trk+est,ip,in_port=a,actions=output:b\n\
             table=1,priority=10,ct_state=+trk+est,ip,in_port=b,actions=output:a\n\
             table=1,priority=0,actions=drop\n",
        );
        for port in (1..rules).map(|at| 20_000 + at).chain([usize::from(SERVED)]) {
            flows += &format!(
                "table=1,priority=8,ct_state=+trk+new,udp,in_port=a,nw_src={NET},tp_dst={port},\
                 actions=ct(commit),output:b\n"
            );
        }
        flows
    }

    fn ofctl(&self, words: &[&str]) -> Result<()> {
        let output = Command::new(&self.control)
            .env("LD_LIBRARY_PATH", &self.libraries)
            .env("OVS_RUNDIR", self.folder.path())
            .current_dir(self.folder.path())
            .args(words)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "ovs-ofctl {words:?}: {said}");
        Ok(())
    }
}

impl Switch for OpenVSwitch {
    fn name(&self) -> &'static str {
        "Open vSwitch"
    }

    fn sockets(&self) -> [PathBuf; 2] {
        ["a", "b"].map(|name| self.folder.path().join(name))
    }

    fn decide(&mut self, policy: Policy) -> Result<bool> {
        if self.decided != Some(policy) {
            fs::write(self.folder.path().join("flows"), Self::flows(policy))?;
            self.ofctl(&["del-flows", "unix:br0.mgmt"])?;
            self.ofctl(&["add-flows", "unix:br0.mgmt", "flows"])?;
            self.decided = Some(policy);
        }
        Ok(true)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.switch.0.id()]
    }
}
