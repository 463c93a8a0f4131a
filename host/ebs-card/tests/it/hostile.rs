//! Bytes that no client should send.

use ebs_card::nbd::{ExportInfo, handshake::Handshake, request::Decoder};
use proptest::prelude::*;
use std::fs;

fn handshake(pieces: &[Vec<u8>]) {
    let (mut handshake, _) = Handshake::new();
    let mut find = |name: &str| (name == "x").then_some(ExportInfo { size_bytes: 4096 });
    let mut sent = 0;
    for piece in pieces {
        let mut out = Vec::new();
        let fed = handshake.feed(piece, &mut find, &mut out);
        sent += out.len();
        if !matches!(fed, Ok(None)) {
            break;
        }
    }
    let came: usize = pieces.iter().map(Vec::len).sum();
    assert!(sent <= 256 + 8 * came, "{sent} bytes for {came}");
}

fn requests(bytes: &[u8], piece: usize) {
    let mut decoder = Decoder::new(Vec::new());
    let mut left = bytes;
    while !left.is_empty() {
        let space = decoder.space();
        let count = left.len().min(space.len()).min(piece.max(1));
        space[..count].copy_from_slice(&left[..count]);
        decoder.filled(count);
        left = &left[count..];
        loop {
            match decoder.advance() {
                Ok(Some((request, payload))) => {
                    let _ = ebs_card::nbd::request::check(&request, 1 << 30, true);
                    assert!(payload.is_empty() || payload.len() == request.length as usize);
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

#[test]
fn corpus() {
    for (name, run) in [
        ("handshake", (|bytes| handshake(&[bytes.to_vec()])) as fn(&[u8])),
        ("requests", |bytes| requests(bytes, 7)),
    ] {
        let folder = format!("{}/tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut files = 0;
        for file in fs::read_dir(&folder).unwrap() {
            run(&fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files >= 3, "{folder}");
    }
}

fn option() -> impl Strategy<Value = Vec<u8>> {
    (0_u32..13, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(number, data)| crate::client::option(number, &data))
}

proptest! {
    #[test]
    fn any_options(options in prop::collection::vec(option(), 0..80), flags in 0_u32..5) {
        let mut pieces = vec![flags.to_be_bytes().to_vec()];
        pieces.extend(options);
        handshake(&pieces);
        handshake(&[pieces.concat()]);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1_usize..50) {
        handshake(&bytes.chunks(piece).map(<[u8]>::to_vec).collect::<Vec<_>>());
        requests(&bytes, piece);
    }

    #[test]
    fn any_requests(
        headers in prop::collection::vec((0_u16..9, any::<u16>(), any::<u64>(), 0_u32..90_000), 1..20),
        piece in 1_usize..100_000,
    ) {
        let mut bytes = Vec::new();
        for (command, flags, offset, length) in headers {
            bytes.extend(crate::client::request(command, flags, 1, offset, length));
            if command == 1 {
                bytes.resize(bytes.len() + length as usize, 0);
            }
        }
        requests(&bytes, piece);
    }
}
