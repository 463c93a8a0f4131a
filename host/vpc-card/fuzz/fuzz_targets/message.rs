//! Fuzzes vhost-user messages; seeds are in `tests/corpus/message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vpc_card::fuzz::message(bytes));
