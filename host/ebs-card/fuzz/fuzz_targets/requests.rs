//! Any requests of a client: `cargo fuzz run requests ../tests/corpus/requests`.
#![no_main]

use ebs_card::nbd::request::{Decoder, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (piece, mut left) = input;
    let mut decoder = Decoder::new(Vec::new());
    while !left.is_empty() {
        let space = decoder.space();
        let count = left.len().min(space.len()).min(usize::from(piece).max(1));
        space[..count].copy_from_slice(&left[..count]);
        decoder.filled(count);
        left = &left[count..];
        loop {
            match decoder.advance() {
                Ok(Some((request, _))) => drop(check(&request, 1 << 30, true)),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
