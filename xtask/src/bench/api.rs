//! The API's speed with 5,000 instances, beside moto's server.

use super::{
    client::{self, Connection, Load},
    cloud::{Cloud, free_port},
};
use crate::test;
use anyhow::{Context as _, Result, ensure};
use std::{
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const INSTANCES: usize = 5000;
const TIME: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 4;
/// Launches that still fit into a default subnet.
const LAUNCHES: usize = 1000;

struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    fn start(root: &Path) -> Result<Self> {
        let venv = test::python(root)?;
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let server = venv.with_file_name("moto_server");
        let child = Command::new(&server)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", server.display()))?;
        let moto = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(60), "moto's server did not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(moto)
    }
}

/// One of the two, with its requests.
struct Side {
    name: &'static str,
    address: SocketAddr,
    key: (String, String),
}

impl Side {
    fn call(&self, form: &str) -> Result<Vec<u8>> {
        client::call(self.address, (&self.key.0, &self.key.1), form)
    }

    fn ask(&self, form: &str) -> Result<String> {
        Connection::new(self.address).send(&self.call(form)?)
    }

    /// Launches the instances, in all three default subnets; gives one's ID and the launch call.
    fn fill(&self) -> Result<(String, String)> {
        let images = self.ask("Action=DescribeImages&Owner.1=amazon")?;
        let image = between(&images, "<imageId>", "</imageId>").context("no image")?;
        let subnets = self.ask("Action=DescribeSubnets")?;
        let subnets = subnets
            .split("<subnetId>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next())
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let launch = |subnet: &str, count: usize| {
            format!(
                "Action=RunInstances&ImageId={image}&InstanceType=t3.micro&MinCount={count}&MaxCount\
                 ={count}&SubnetId={subnet}"
            )
        };
        let began = Instant::now();
        let (mut left, mut at, mut answer) = (INSTANCES, 0, String::new());
        while left > 0 {
            let count = left.min(500);
            answer = self.ask(&launch(&subnets[at % subnets.len()], count))?;
            left -= count;
            at += 1;
            eprintln!("{}: {} of {INSTANCES} instances", self.name, INSTANCES - left);
        }
        eprintln!("{}: filled in {:.1} s", self.name, began.elapsed().as_secs_f32());
        let one = between(&answer, "<instanceId>", "</instanceId>").context("no instance")?;
        Ok((one.to_owned(), launch(&subnets[0], 1)))
    }

    fn measure(&self) -> Result<Vec<(&'static str, Load)>> {
        let (one, launch) = self.fill()?;
        let calls = [
            ("DescribeInstances, one ID", format!("Action=DescribeInstances&InstanceId.1={one}")),
            ("DescribeInstances, 1,000", "Action=DescribeInstances&MaxResults=1000".to_owned()),
            ("DescribeVpcs", "Action=DescribeVpcs".to_owned()),
        ];
        let mut loads = Vec::new();
        for (name, form) in calls {
            eprintln!("{}: {name} …", self.name);
            loads.push((
                name,
                client::load(self.address, &self.call(&form)?, CONNECTIONS, TIME, usize::MAX)?,
            ));
        }
        // One after the other, on a subnet with room, for the time of a durable launch, then all at once for the rate.
        eprintln!("{}: RunInstances …", self.name);
        let request = self.call(&launch)?;
        loads.push((
            "RunInstances(1), one by one",
            client::load(self.address, &request, 1, TIME, LAUNCHES)?,
        ));
        loads.push((
            "RunInstances(1)",
            client::load(self.address, &request, CONNECTIONS, TIME, LAUNCHES)?,
        ));
        Ok(loads)
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(text, _)| text)
}

/// Runs the benchmark and prints its table.
pub fn run(root: &Path) -> Result<()> {
    let moto = Moto::start(root)?;
    let peer = Side {
        name: "moto",
        address: moto.address,
        key: ("123456789012".to_owned(), "secret".to_owned()),
    };
    let theirs = peer.measure()?;
    drop(moto);
    let cloud = Cloud::start(root, "simulated")?;
    let own = Side { name: "fogbank", address: cloud.listen, key: cloud.key.clone() };
    let ours = own.measure()?;
    println!(
        "{INSTANCES} instances, {CONNECTIONS} connections, commits durable (SQLite, WAL, FULL)"
    );
    println!(
        "{:<28} {:>10} {:>8} {:>8}   {:>10} {:>8} {:>8}   {:>7}",
        "", "fogbank/s", "p50 ms", "p99 ms", "moto/s", "p50 ms", "p99 ms", "ratio"
    );
    for ((name, own), (_, peer)) in ours.iter().zip(&theirs) {
        println!(
            "{name:<28} {:>10.1} {:>8.2} {:>8.2}   {:>10.1} {:>8.2} {:>8.2}   {:>6.1}x",
            own.rate,
            own.p50_ms,
            own.p99_ms,
            peer.rate,
            peer.p50_ms,
            peer.p99_ms,
            own.rate / peer.rate
        );
    }
    Ok(())
}
