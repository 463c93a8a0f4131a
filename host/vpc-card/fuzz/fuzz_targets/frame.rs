//! Fuzzes frames from a guest; seeds are in `tests/corpus/frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::frame(bytes));
