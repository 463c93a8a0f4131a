//! Policy documents of any kind.
#![no_main]

#[path = "../../tests/it/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::document(bytes));
