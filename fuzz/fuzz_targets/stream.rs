//! See `target::stream` in `core/tests/support/target.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| augur_fuzz::support::target::stream(bytes));
