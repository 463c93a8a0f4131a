//! Fuzzes packets that leave by the uplink by sockets; seeds are in `tests/corpus/uplink`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::uplink(bytes));
