//! JSON that is to be decoded.
#![no_main]

#[allow(dead_code, reason = "each target runs one of them")]
#[path = "../../tests/it/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::json(bytes));
