//! Fuzzes DHCP messages; seeds are in `tests/corpus/dhcp`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::dhcp(bytes));
