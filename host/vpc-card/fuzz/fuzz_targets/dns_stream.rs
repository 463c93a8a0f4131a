//! Fuzzes a TCP connection to the resolver; seeds are in `tests/corpus/dns_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::dns_stream(bytes));
