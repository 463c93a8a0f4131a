//! `fogbank doctor`: what this machine has and lacks.

use crate::{
    image,
    paths::{Paths, is_root},
    settings::Settings,
};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, ExitCode},
};
use vpc_card::uplink::{sockets, tun::Tun};

struct Report {
    lacking: usize,
}

impl Report {
    fn say(&mut self, good: bool, what: &str, state: &str, cure: &str) {
        out!("{} {what:<22} {state}", if good { "ok  " } else { "LACK" });
        if !good {
            self.lacking += 1;
            out!("     {:<22} {cure}", "");
        }
    }

    fn note(&self, what: &str, state: &str) {
        out!("--   {what:<22} {state}");
    }

    fn program(&mut self, program: &str, package: &str) {
        let found = std::env::var_os("PATH").is_some_and(|path| {
            let sbin = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
            std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(program).is_file())
        });
        let state = if found { "installed" } else { "missing" };
        self.say(found, program, state, &format!("apt-get install {package}"));
    }
}

/// What the object store's copies guard against on these disks.
fn storage_disks(paths: &Paths) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let settings = Settings::load(paths).ok().flatten();
    if let Some(pool) = settings.as_ref().and_then(|settings| settings.ceph.as_ref()) {
        return match objects::check_ceph(pool) {
            Ok(()) => format!("{}, which can be reached", pool.place()),
            Err(error) => format!("{}: {error:#}", pool.place()),
        };
    }
    let mut nodes = settings.map(|settings| settings.nodes).unwrap_or_default();
    if nodes.is_empty() {
        return "three copies in folders of the data folder; on disks of their own with 'fogbank up \
                --nodes DIR…'"
            .to_owned();
    }
    nodes.retain(|node| node.folder.exists());
    let disks = nodes.iter().filter_map(|node| fs::metadata(&node.folder).ok());
    let disks = disks.map(|folder| folder.dev()).collect::<BTreeSet<_>>().len();
    let guard = if disks < nodes.len() {
        "copies guard against damage, but a lost disk may take several"
    } else {
        "any one disk may be lost"
    };
    format!("{} storage nodes on {disks} disks: {guard}", nodes.len())
}

/// The ways out for instances: one at least there is always.
fn uplink(report: &mut Report) {
    match Tun::probe() {
        Ok(()) => {
            report
                .note("uplink", "a TUN device can be made: this host has all ports of public IPs");
            report.program("ip", "iproute2");
            report.program("nft", "nftables");
        }
        Err(error) => report.note(
            "uplink",
            &format!("sockets: no TUN device for this user ({error:#}); public IPs are 127.x.y.z"),
        ),
    }
    let ping = if sockets::can_ping() {
        "this user may ping, and so may instances with the uplink by sockets"
    } else {
        "not with the uplink by sockets: this user's group isn't in net.ipv4.ping_group_range"
    };
    report.note("ping", ping);
}

/// The quick-start images: built by root alone, used by all.
fn images(report: &mut Report, paths: &Paths) {
    let lacking: Vec<_> =
        image::ALL.iter().filter(|recipe| !recipe.is_there(paths)).map(|at| at.name).collect();
    if is_root() {
        for (program, package) in [
            ("mmdebstrap", "mmdebstrap"),
            ("mke2fs", "e2fsprogs"),
            ("sfdisk", "fdisk"),
            ("grub-mkimage", "grub-common"),
        ] {
            report.program(program, package);
        }
        return;
    }
    let state = match lacking.len() {
        0 => "built".to_owned(),
        _ => format!("missing: {}", lacking.join(", ")),
    };
    let enough = lacking.len() < image::ALL.len();
    report.say(enough, "images", &state, "only root can build them: sudo ./fogbank image build");
}

/// Checks the machine; fails if something is lacking.
pub fn doctor(paths: &Paths) -> ExitCode {
    let mut report = Report { lacking: 0 };
    let qemu = Command::new("qemu-system-x86_64").arg("--version").output();
    let version = qemu
        .ok()
        .filter(|out| out.status.success())
        .map(|out| String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or("").to_owned());
    let state = version.clone().unwrap_or_else(|| "missing".to_owned());
    report.say(version.is_some(), "QEMU", &state, "apt-get install qemu-system-x86");
    match hypervisor::probe::kvm() {
        Ok(()) => report.note("KVM", "works: a test guest ran"),
        Err(error) => report.note(
            "KVM",
            &format!(
                "not usable ({error:#}); guests run under QEMU's emulation, 10 to 30 times slower"
            ),
        ),
    }
    report.program("ssh", "openssh-client");
    uplink(&mut report);
    images(&mut report, paths);
    let cgroups = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        "version 2"
    } else if Path::new("/sys/fs/cgroup/cpu").exists() {
        "version 1"
    } else {
        "none: instances share the processors without weights"
    };
    report.note("cgroups", cgroups);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or("?");
    report.note("memory", total.trim());
    let place = paths.data.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    if let Ok(stat) = rustix::fs::statvfs(place) {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 30;
        let text = format!("{free} GiB free for {}", paths.data.display());
        report.say(free >= 5, "disk", &text, "images and volumes want 5 GiB or more");
    }
    report.note("objects", &storage_disks(paths));
    if report.lacking == 0 {
        out!("This machine can run a cloud: 'fogbank up'.");
        ExitCode::SUCCESS
    } else {
        out!(
            "{} things are lacking; './fogbank up' in the project's folder installs packages.",
            report.lacking
        );
        ExitCode::FAILURE
    }
}
