//! The time from RunInstances to the first SSH banner, beside a QEMU started by hand with the same
//! disk, kernel, processors, memory and accelerator.

use super::{
    client::{self, Connection},
    cloud::{Cloud, free_port},
    median,
};
use anyhow::{Context as _, Result, ensure};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Pairs of launches.
const ROUNDS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(120);
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8W2Q0m2l2c1p3nB5z7mC1m4w2c9r8s7t6u5v4w3x2y bench";

/// Waits for an SSH server's banner.
fn banner(address: SocketAddr, began: Instant) -> Result<Duration> {
    loop {
        ensure!(began.elapsed() < DEADLINE, "no SSH banner from {address} in time");
        if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            let mut text = [0; 4];
            if (&stream).read_exact(&mut text).is_ok() && text == *b"SSH-" {
                return Ok(began.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(text, _)| text)
}

/// A cloud that is ready for launches.
pub struct Ready {
    /// The cloud.
    pub cloud: Cloud,
    /// The tiny image's ID.
    pub image: String,
}

impl Ready {
    /// Starts a cloud with port 22 open and a key.
    pub fn new(root: &Path) -> Result<Self> {
        let cloud = Cloud::start(root, "auto")?;
        let mut ready = Self { cloud, image: String::new() };
        let images = ready
            .ask("Action=DescribeImages&Filter.1.Name=name&Filter.1.Value.1=fogbank-tiny-*")?;
        ready.image = between(&images, "<imageId>", "</imageId>").context("no image")?.to_owned();
        ready.ask(
            "Action=AuthorizeSecurityGroupIngress&GroupName=default&IpPermissions.1.IpProtocol=-1&\
             IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0%2F0",
        )?;
        ready.ask("Action=CreateKeyPair&KeyName=bench&KeyType=ed25519")?;
        Ok(ready)
    }

    /// Calls an operation.
    pub fn ask(&self, form: &str) -> Result<String> {
        let key = (self.cloud.key.0.as_str(), self.cloud.key.1.as_str());
        Connection::new(self.cloud.listen).send(&client::call(self.cloud.listen, key, form)?)
    }

    /// Launches one instance; gives its ID.
    pub fn run_instance(&self, kind: &str) -> Result<String> {
        let answer = self.ask(&format!(
            "Action=RunInstances&ImageId={}&InstanceType={kind}&MinCount=1&MaxCount=1&KeyName=bench",
            self.image
        ))?;
        Ok(between(&answer, "<instanceId>", "</instanceId>").context("no instance")?.to_owned())
    }

    /// Where its SSH server will be.
    pub fn address(&self, instance: &str) -> Result<SocketAddr> {
        let form = format!("Action=DescribeInstances&InstanceId.1={instance}");
        let answer = self.ask(&form)?;
        let ip = between(&answer, "<ipAddress>", "</ipAddress>").context("no public address")?;
        Ok(SocketAddr::new(ip.parse()?, 22))
    }

    /// Waits for its banner.
    pub fn wait(&self, instance: &str, began: Instant) -> Result<Duration> {
        banner(self.address(instance)?, began)
    }

    /// The cloud's processes by role.
    pub fn roles(&self) -> Result<Vec<(String, u32)>> {
        let status = Command::new(crate::workspace::target().join("release/fogbank"))
            .args(["status", "--data"])
            .arg(self.cloud.data.path())
            .output()?;
        let text = String::from_utf8(status.stdout)?;
        let role = |line: &str| {
            let (name, pid) = line.split_once("process ")?;
            Some((name.trim().to_owned(), pid.trim().parse().ok()?))
        };
        Ok(text.lines().filter_map(role).collect())
    }

    /// The file that says which process runs an instance.
    pub fn pid_file(&self, instance: &str) -> PathBuf {
        self.cloud.data.path().join("instances").join(instance).join("pid")
    }
}

/// One launch through the API: until the QEMU process is there, and until the banner.
fn ours(ready: &Ready) -> Result<(Duration, Duration)> {
    let began = Instant::now();
    let instance = ready.run_instance("t3.micro")?;
    let file = ready.pid_file(&instance);
    while !file.exists() {
        ensure!(began.elapsed() < DEADLINE, "no QEMU process in time");
        thread::sleep(Duration::from_millis(1));
    }
    let process = began.elapsed();
    let banner = ready.wait(&instance, began)?;
    ready.ask(&format!("Action=TerminateInstances&Force=true&InstanceId.1={instance}"))?;
    // The next round shall have the machine to itself.
    let form = format!("Action=DescribeInstances&InstanceId.1={instance}");
    while !ready.ask(&form)?.contains("<name>terminated</name>") {
        ensure!(began.elapsed() < DEADLINE, "the instance did not end in time");
        thread::sleep(Duration::from_millis(20));
    }
    Ok((process, banner))
}

/// A metadata service for the QEMU that is started by hand: just what the image asks for.
fn metadata() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(&stream));
        }
    });
    Ok(port)
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream);
    let (mut first, mut line) = (String::new(), String::new());
    lines.read_line(&mut first)?;
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("").trim_end_matches('/');
    let body = match path {
        "/latest/api/token" => Some("dG9rZW4="),
        "/latest/meta-data/instance-id" => Some("i-0123456789abcdef0"),
        "/latest/meta-data/local-hostname" | "/latest/meta-data/hostname" => Some("bench"),
        "/latest/meta-data/public-keys" => Some("0=bench"),
        "/latest/meta-data/public-keys/0/openssh-key" => Some(KEY),
        _ => None,
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or("");
    let reply = format!(
        "HTTP/1.1 {status}\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nContent-Type: \
         text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    (&*stream).write_all(reply.as_bytes())
}

struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One launch by hand: until the banner.
fn by_hand(disk: &Path, accelerator: &str, metadata: u16) -> Result<Duration> {
    let port = free_port()?;
    let uuid = "ec2e1916-9099-7caf-fd21-012345abcdef";
    let drive = format!("file={},format=raw,if=none,id=d0,snapshot=on", disk.display());
    let net = format!(
        "user,id=n0,net=169.254.0.0/16,host=169.254.1.2,dhcpstart=169.254.1.15,dns=169.254.1.3,\
         hostfwd=tcp:127.0.0.1:{port}-169.254.1.15:22,guestfwd=tcp:169.254.169.254:80-cmd:bash -c \
         'exec 3<>/dev/tcp/127.0.0.1/{metadata}; cat <&3 & cat >&3'"
    );
    let machine = format!("q35,accel={accelerator}");
    let product =
        format!("type=1,manufacturer=Amazon EC2,product=t3.micro,serial={uuid},uuid={uuid}");
    let began = Instant::now();
    let _qemu = Qemu(
        Command::new("qemu-system-x86_64")
            .args(["-machine", &machine, "-cpu", if accelerator == "kvm" { "host" } else { "max" }])
            .args(["-smp", "2", "-m", "1024", "-nodefaults", "-display", "none", "-uuid", uuid])
            .args(["-serial", "null"])
            .args(["-smbios", "type=0,vendor=Amazon EC2,version=1.0", "-smbios", &product])
            .args(["-drive", &drive, "-device", "nvme,serial=vol0123456789abcdef0,drive=d0"])
            .args(["-netdev", &net, "-device", "virtio-net-pci,netdev=n0,romfile="])
            .args(["-device", "virtio-rng-pci"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("start QEMU by hand")?,
    );
    banner(SocketAddr::from(([127, 0, 0, 1], port)), began)
}

/// Runs the benchmark and prints its table.
pub fn run(root: &Path) -> Result<()> {
    let ready = Ready::new(root)?;
    let images = std::fs::read_dir(ready.cloud.data.path().join("images"))?;
    let tiny = images
        .flatten()
        .find(|folder| folder.file_name().to_string_lossy().contains("tiny"))
        .context("no tiny image")?
        .path()
        .join("disk.raw");
    let kvm = !std::fs::read_to_string(ready.cloud.data.path().join("log/agent.log"))?
        .contains("run by TCG");
    let accelerator = if kvm { "kvm" } else { "tcg" };
    let service = metadata()?;
    let (mut processes, mut banners, mut hands) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (process, banner) = ours(&ready)?;
        let hand = by_hand(&tiny, accelerator, service)?;
        let (process, banner, hand) =
            (process.as_secs_f64(), banner.as_secs_f64(), hand.as_secs_f64());
        if round == 0 {
            // Fills the page cache, for both.
            continue;
        }
        eprintln!(
            "round {round}: fogbank {banner:.2} s (QEMU after {process:.3} s), by hand {hand:.2} s"
        );
        processes.push(process);
        banners.push(banner);
        hands.push(hand);
    }
    let (process, ours, hand) = (median(processes), median(banners), median(hands));
    println!("tiny image, 2 vCPUs, 1 GiB, {accelerator}; medians of {ROUNDS} interleaved rounds");
    println!("RunInstances to the QEMU process  {process:>7.3} s");
    println!("RunInstances to the SSH banner    {ours:>7.2} s");
    println!("QEMU by hand to the SSH banner    {hand:>7.2} s");
    println!("ratio                             {:>7.2}", ours / hand);
    Ok(())
}
