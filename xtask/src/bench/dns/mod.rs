//! `cargo xtask bench dns`: the agent's name server beside `CoreDNS`.
//!
//! `cluster` is what both know, by the API server in `api`; `upstream` is whom both ask for other
//! names; `stage` starts all of it. `agree` makes sure that they say the same to every question of
//! every `case`; then `load` asks both in turns, and `report` says what it came to.

/// The API server.
mod api;
/// Whether both say the same.
mod agree;
/// Processor time.
mod busy;
/// What is asked.
mod case;
/// What both know.
mod cluster;
/// dnsperf.
mod load;
/// What it came to.
mod report;
/// All that runs.
mod stage;
/// Medians and percentiles.
mod statistics;
/// Whom both ask.
mod upstream;

use crate::step::{Step, step};
use crate::toolchain::{self, CORE_DNS};
use crate::{build, root};
use anyhow::{Context, Result, bail};
use case::Case;
use load::Load;
use report::{Report, Row, Sample};
use stage::{Peer, Stage};
use std::path::{Path, PathBuf};

/// How to measure, and how to tell.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How often everything is measured
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long as much as possible is asked, and how long at a rate, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Questions a second while it is taken how long answers take
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
}

/// Builds what is missing, then measures as root.
pub(super) fn run(options: &Options) -> Result<()> {
    let dnsperf = load::version()?;
    ensure_core_dns()?;
    let programs =
        root::after_build(&build::Options { release: true, ..build::Options::default() })?;
    let report = report(*options, &programs, dnsperf)?;
    if options.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

fn ensure_core_dns() -> Result<()> {
    if toolchain::has_core_dns() {
        return Ok(());
    }
    if root::find("go").is_none() {
        bail!("go is missing, which builds CoreDNS: https://go.dev/dl");
    }
    step(&format!("install CoreDNS {CORE_DNS} (some minutes)"), toolchain::install_core_dns)
}

fn report(options: Options, programs: &Path, dnsperf: String) -> Result<Report> {
    let cases = Case::all();
    let stage = step("start both servers", |_| Stage::start(programs))?;
    let rows = compare(&stage, &cases, options);
    let rows = rows.with_context(|| format!("what was said last:\n{}", stage.tails()))?;
    let Options { rounds, seconds, rate, .. } = options;
    let (core_dns, cpus) = (CORE_DNS, stage.cpus);
    Ok(Report { core_dns, dnsperf, cpus, rounds, seconds, rate, rows })
}

fn compare(stage: &Stage, cases: &[Case], options: Options) -> Result<Vec<Row>> {
    step("ask both every question", |_| agree::check(stage, cases))?;
    let files: Vec<PathBuf> = load::write(&stage.host, cases)?;
    step("measure", |step| measure(stage, cases, &files, (options, step)))
}

/// Round after round, case after case, both in turns: what else the machine does hits both.
fn measure(
    stage: &Stage,
    cases: &[Case],
    files: &[PathBuf],
    (options, step): (Options, &Step),
) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = cases.iter().map(Row::new).collect();
    for round in 1..=options.rounds {
        for (row, (case, file)) in rows.iter_mut().zip(cases.iter().zip(files)) {
            step.progress(&format!("round {round} of {}: {}", options.rounds, case.name));
            let [lb, core_dns] = Peer::ALL.map(|peer| sample(stage, peer, (case, file), options));
            row.add(lb?, core_dns?);
        }
    }
    Ok(rows)
}

fn sample(
    stage: &Stage,
    peer: Peer,
    (case, file): (&Case, &Path),
    options: Options,
) -> Result<Sample> {
    let load = Load { host: &stage.host, cpu: stage.cpus.client, server: peer.address() };
    let pid = stage.process(peer).pid();
    take(&load, pid, (case, file), options)
        .with_context(|| format!("measuring {peer}: {}", case.name))
}

/// One server, one case, once. Caches are filled before anything is timed.
fn take(
    load: &Load<'_>,
    pid: i32,
    (case, file): (&Case, &Path),
    Options { seconds, rate, .. }: Options,
) -> Result<Sample> {
    load.once(case, file)?;
    let before = busy::seconds(pid)?;
    let count = load.full(case, file, seconds)?;
    let busy = busy::seconds(pid)? - before;
    let latency = load.steady(case, file, (rate, seconds))?;
    Ok(Sample::new(count, busy, latency))
}
