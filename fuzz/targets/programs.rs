//! `cargo xtask fuzz programs`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| lb_fuzz::programs::run(bytes));

fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    lb_fuzz::programs::mutate::mutate(data, size, max, seed, fuzzer_mutate)
});
