//! `cargo xtask fuzz objects`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| lb_fuzz::objects::run(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    lb_fuzz::mutate::json::mutate(data, size, max, seed, fuzzer_mutate)
});
