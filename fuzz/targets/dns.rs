//! `cargo xtask fuzz dns`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lb_fuzz::dns::run(bytes));
