//! A real VM with a tiny guest on a real disk, that lives through its agent's death.

use crate::{Killed, Server, machine, start};
use contracts::{
    card::{EbsRequest, Reply},
    host::{Entry, MachineState, OffReason},
    link::{Answer, FromAgent, Question},
    machine::{Disk, Power},
    storage::Volume,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};
use types::{ResourceId, VolumeId};

/// Says `ready` on the serial port, waits for a key there, and powers off by ACPI.
const BOOT_SECTOR: [u8; 45] = [
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0xbe, 0x26, 0x7c, // mov si, text
    0xac, // next: lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x06, // jz wait
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xee, // out dx, al
    0xeb, 0xf5, // jmp next
    0xfb, // wait: sti
    0xf4, // hlt
    0xba, 0xfd, 0x03, // mov dx, 0x3fd
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xf6, // jz wait
    0xba, 0x04, 0x06, // mov dx, 0x604
    0xb8, 0x00, 0x20, // mov ax, 0x2000
    0xef, // out dx, ax
    0xf4, // end: hlt
    0xeb, 0xfd, // jmp end
    b'r', b'e', b'a', b'd', b'y', b'\n', 0,
];

/// A card that agrees to everything; the EBS card serves the disk by `qemu-nbd`.
fn card(path: &Path, disk: Option<(PathBuf, PathBuf)>) -> Receiver<Killed> {
    let listener = UnixListener::bind(path).unwrap();
    let (sender, served) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                if let (Some((disk, socket)), Ok(EbsRequest::Apply(patch))) =
                    (&disk, serde_json::from_str(&line))
                    && let Some(export) = patch.serve.first().and_then(|v| v.export.clone())
                    && !socket.exists()
                {
                    sender.send(serve(disk, socket, &export)).unwrap();
                }
                let reply = Reply::Applied { failed: [].into() };
                let mut line = serde_json::to_vec(&reply).unwrap();
                line.push(b'\n');
                if stream.write_all(&line).is_err() {
                    break;
                }
            }
        }
    });
    served
}

fn serve(disk: &Path, socket: &Path, export: &str) -> Killed {
    let mut command = Command::new("qemu-nbd");
    command.args(["--persistent", "--format=raw", "--export-name", export, "--socket"]);
    let child = command.arg(socket).arg(disk).spawn().unwrap();
    while UnixStream::connect(socket).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    Killed(child)
}

#[test]
fn a_guest_outlives_its_agent() {
    let tools = ["/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-nbd"];
    if !tools.iter().all(|tool| Path::new(tool).exists()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // The VM's user must reach its disk's socket.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let mut image = BOOT_SECTOR.to_vec();
    image.resize(1 << 20, 0);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(at("disk.raw"), image).unwrap();
    let listener = UnixListener::bind(at("server.sock")).unwrap();
    let _vpc = card(&at("vpc.sock"), None);
    let served = card(&at("ebs.sock"), Some((at("disk.raw"), at("nbd.sock"))));

    let volume = VolumeId::from_number(2);
    let mut wanted = machine(1, Power::On);
    wanted.disks.push(Disk { volume, device_name: "/dev/xvda".to_owned() });
    let entries = || {
        let volume = Volume { id: volume, size_bytes: 1 << 20, source: None, delete: false };
        vec![Entry::Machine(Box::new(wanted.clone())), Entry::Volume(volume)]
    };

    let first = start(folder.path(), "tcg");
    let mut server = Server::accept(&listener);
    server.send(true, entries());
    server.wait(1, &MachineState::Running);
    let _nbd = served.recv().unwrap();

    // Its console is a socket, and is kept.
    let socket = at("run/vm").join(format!("{}.serial", wanted.instance));
    let log = at("data/instances").join(wanted.instance.to_string()).join("console.log");
    while !fs::read_to_string(&log).unwrap().contains("ready\n") {
        thread::sleep(Duration::from_millis(20));
    }
    server.ask(Question::Console(wanted.instance));
    let answer = loop {
        if let FromAgent::Answer(7, answer) = server.receive() {
            break answer.unwrap();
        }
    };
    let Answer::Console { output, .. } = answer;
    assert!(!output.is_empty());

    // The agent is killed, and then the guest powers itself off.
    drop(first);
    let mut serial = UnixStream::connect(&socket).unwrap();
    serial.write_all(b"q").unwrap();
    // QEMU goes on until somebody has seen it.
    serial.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(serial.read(&mut [0; 64]).is_err());

    let _second = start(folder.path(), "tcg");
    let mut server = Server::accept(&listener);
    server.send(true, entries());
    server.wait(1, &MachineState::Off(OffReason::Guest));
}
