//! Fuzzes descriptor chains; seeds are in `tests/corpus/chain`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::chain(bytes));
