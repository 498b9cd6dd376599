//! Every program loads, and none grew: `tests/budget.txt` holds the instructions that the
//! verifier walked through, per program. The kernel tells no stack depth of a loaded program.

use lb_userspace::bpf::loader::{self, Capacities, Constants};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/budget.txt");
/// Growth that is let through, in percent: compilers and kernels differ a little.
const TOLERANCE: u32 = 10;
const HEAD: &str = "# Instructions that the verifier walks through, per program.\n\
    # Written by: UPDATE_BUDGET=1 cargo test -p lb-userspace --test packets budget\n";

#[test]
fn every_program_loads_within_its_budget() {
    let measured = measure();
    if std::env::var_os("UPDATE_BUDGET").is_some() {
        fs::write(BUDGET, print(&measured)).unwrap();
    }
    let budget = read();
    assert!(measured.keys().eq(budget.keys()), "the budget names other programs; {HEAD}");
    for (program, count) in &measured {
        let limit = budget[program] + budget[program] * TOLERANCE / 100;
        assert!(*count <= limit, "{program} takes {count} instructions, at most {limit}; {HEAD}");
    }
}

fn measure() -> BTreeMap<String, u32> {
    let constants = Constants { hz: 250, hash_seed: 1, netns_cookie: 0, watched: false };
    let capacities =
        Capacities { conntrack: 64, frontends: 64, slots: 64, backends: 64, services: 64 };
    let mut ebpf = loader::load(&constants, &capacities, None).unwrap();
    let stages = loader::TC_STAGES.iter().chain(&loader::XDP_STAGES).map(|(program, _)| *program);
    let mut instructions = |program: &str| {
        let loaded = loader::into_kernel(&mut ebpf, program).unwrap();
        let count = loaded.info().unwrap().verified_instruction_count().expect("Linux 5.16");
        (program.to_owned(), count)
    };
    stages
        .chain([loader::XDP, loader::JIFFIES])
        .chain(loader::CGROUP)
        .map(&mut instructions)
        .collect()
}

fn read() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(BUDGET).unwrap();
    let line = |line: &str| {
        let (program, count) = line.split_once(' ').expect("a program and a number");
        (program.to_owned(), count.trim().parse().expect("a number of instructions"))
    };
    text.lines().filter(|text| !text.starts_with('#')).map(line).collect()
}

fn print(measured: &BTreeMap<String, u32>) -> String {
    let mut text = HEAD.to_owned();
    for (program, count) in measured {
        writeln!(text, "{program:<16} {count}").unwrap();
    }
    text
}
