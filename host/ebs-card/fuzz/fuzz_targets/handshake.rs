//! Any options of a client: `cargo fuzz run handshake ../tests/corpus/handshake`.
#![no_main]

use ebs_card::nbd::{ExportInfo, handshake::Handshake};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut handshake, _) = Handshake::new();
    let mut find = |name: &str| (name == "x").then_some(ExportInfo { size_bytes: 4096 });
    for piece in bytes.chunks(100) {
        if !matches!(handshake.feed(piece, &mut find, &mut Vec::new()), Ok(None)) {
            break;
        }
    }
});
