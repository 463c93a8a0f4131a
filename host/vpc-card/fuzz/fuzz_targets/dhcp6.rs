//! Fuzzes DHCPv6 messages; seeds are in `tests/corpus/dhcp6`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::dhcp6(bytes));
