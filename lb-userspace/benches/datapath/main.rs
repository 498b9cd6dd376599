//! Nanoseconds a packet of the real programs, by `BPF_PROG_TEST_RUN`: `cargo xtask bench datapath`.
//!
//! The packet is restored before each run (`lb-ebpf/src/bench`), the cost of an empty program in
//! the same harness is taken off, runs of both alternate so that noise hits both. Figures of one
//! run compare with each other, and with the yardstick: one LRU hit by a key of 16 bytes.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::trivially_copy_pass_by_ref,
    reason = "a benchmark: constants and figures"
)]

/// The packets and tables of each case.
mod case;
/// The harness in the kernel.
mod harness;

use anyhow::{Result, ensure};
use case::Case;
use harness::Harness;
use serde::Serialize;

/// Runs of each case; odd, so that there is a median.
const RUNS: usize = 9;

#[derive(Serialize)]
struct Report {
    lru_hit_ns: f64,
    cases: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    flows: u32,
    net_ns_median: f64,
    net_ns_min: f64,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let json = args.iter().any(|arg| arg == "--json");
    ensure!(nix::unistd::geteuid().is_root(), "loading BPF programs needs root");
    harness::pin_to_one_cpu()?;
    let report = measure()?;
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure() -> Result<Report> {
    let mut harness = Harness::load()?;
    let lru_hit_ns = median(&harness.yardstick()?);
    let mut cases = Vec::new();
    for case in Case::all() {
        eprintln!("{} ({} flows)", case.name(), case.flows);
        let net = harness.run(&case)?;
        cases.push(Row {
            name: case.name(),
            flows: case.flows,
            net_ns_median: median(&net),
            net_ns_min: rounded(net.iter().copied().fold(f64::INFINITY, f64::min)),
        });
    }
    Ok(Report { lru_hit_ns, cases })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    rounded(sorted[sorted.len() / 2])
}

fn rounded(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

fn print(report: &Report) {
    println!("one LRU hit, 16-byte key: {} ns\n", report.lru_hit_ns);
    println!("{:<18} {:>8} {:>10} {:>8} {:>9}", "CASE", "FLOWS", "MEDIAN NS", "MIN NS", "LRU HITS");
    for row in &report.cases {
        let hits = row.net_ns_median / report.lru_hit_ns;
        println!(
            "{:<18} {:>8} {:>10.1} {:>8.1} {:>9.1}",
            row.name, row.flows, row.net_ns_median, row.net_ns_min, hits
        );
    }
}
