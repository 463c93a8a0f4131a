//! QEMU's own client: qemu-io and qemu-img.

use crate::host::{Host, MIB, volume};
use std::{fs, process::Command};

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed (package qemu-utils): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}\n{text}{errors}");
    text
}

#[test]
fn qemu_io() {
    let host = Host::new();
    host.reset(vec![volume(1, 64 * MIB, None, "one")]);
    let url = host.url("one");
    let script = [
        "write -P 1 0 1M",
        "write -P 2 4608 512",
        "write -f -P 3 63M 1M",
        "aio_write -P 4 2M 4M",
        "aio_flush",
        "flush",
        "read -P 1 0 4608",
        "read -P 2 4608 512",
        "read -P 3 63M 1M",
        "read -P 4 2M 4M",
        "discard 0 4096",
        "read -P 0 0 4096",
        "read -P 0 512k 0",
        "write -z 3M 1M",
        "write -z -u 4M 10k",
        "read -P 0 3M 1034k",
        "read -P 4 5M 1M",
        "flush",
    ];
    let mut args = vec!["-f", "raw"];
    for command in &script {
        args.extend(["-c", command]);
    }
    args.push(&url);
    let text = run("qemu-io", &args);
    assert!(!text.contains("failed") && !text.contains("error"), "{text}");
}

#[test]
fn qemu_img_copies_and_compares() {
    let host = Host::new();
    let base = host.folder.join("base.raw");
    let content = (0..8 * MIB).map(|n| u8::try_from(n * 7 % 253).unwrap()).collect::<Vec<_>>();
    fs::write(&base, &content).unwrap();
    let sparse = host.folder.join("sparse.raw");
    let mut image = content.clone();
    image[(1 << 20)..(5 << 20)].fill(0);
    fs::write(&sparse, &image).unwrap();
    host.reset(vec![volume(1, 8 * MIB, Some(&base), "based"), volume(2, 8 * MIB, None, "empty")]);
    let (based, empty) = (host.url("based"), host.url("empty"));
    let (base, sparse) = (base.to_str().unwrap(), sparse.to_str().unwrap());
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", base, &based]);
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", sparse, &empty]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", sparse, &empty]);
    run("qemu-img", &["convert", "-n", "-f", "raw", "-O", "raw", sparse, &based]);
    run("qemu-img", &["compare", "-f", "raw", "-F", "raw", sparse, &based]);
    let map = run("qemu-img", &["map", "--output=json", "-f", "raw", &empty]);
    assert!(map.contains("\"start\": 1048576, \"length\": 4194304"), "{map}");
}
