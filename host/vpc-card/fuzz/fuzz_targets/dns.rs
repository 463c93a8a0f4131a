//! Fuzzes DNS queries; seeds are in `tests/corpus/dns`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::dns(bytes));
