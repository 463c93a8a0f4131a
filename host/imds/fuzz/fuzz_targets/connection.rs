//! Any bytes of a client, in any pieces: `cargo fuzz run connection ../tests/corpus/connection`.
#![no_main]

use imds::{Connection, Response};
use libfuzzer_sys::fuzz_target;
use types::Timestamp;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut connection = Connection::new();
    for chunk in bytes.chunks(usize::from(piece).max(1)) {
        let out = connection.feed(chunk, Timestamp::from_millis(0), |_| Response::error(404));
        if out.close {
            break;
        }
    }
});
