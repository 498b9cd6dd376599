//! `cargo xtask fuzz`: inputs at random, and those that reached something new changed again.
//!
//! The targets are the programs of the crate `lb-fuzz`, built by cargo-fuzz with the nightly, in a
//! folder of their own. What breaks one is kept in `fuzz/crashes`, where every `cargo test` finds
//! it again.

/// What can be fuzzed.
mod target;
/// What the fuzzer says.
mod status;
/// The fuzzer at work.
mod run;
/// What breaks a target.
mod crash;

use crate::step::{mark, step};
use crate::toolchain::{CARGO_FUZZ, NIGHTLY};
use crate::{root, setup, workspace};
use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;
use run::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;
use target::Target;

const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                           every target, a minute each
  cargo xtask fuzz programs --seconds 600    the BPF programs, ten minutes
  cargo xtask fuzz --replay fuzz/crashes/programs/crash-1f8ac10f23c5

An input that breaks a target is kept in fuzz/crashes/TARGET. Give it a name that says what is
wrong with it, and commit it with what mends it: `cargo test -p lb-fuzz` tries all of them.
Inputs that reached something new are kept in target/fuzz/corpus, and the next run goes on there.
tcpdump shows inputs of `programs`: tcpdump -nr FILE";

/// What to fuzz, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// What to fuzz; everything if nothing is named
    #[arg(value_name = "TARGET")]
    targets: Vec<Target>,
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Give this file to the target in whose folder it is, and fuzz nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["targets", "seconds"])]
    replay: Option<PathBuf>,
}

/// Builds what is missing and fuzzes; an error if something broke.
pub fn run(options: &Options) -> Result<()> {
    if let Some(input) = &options.replay {
        ensure!(input.is_file(), "{} is no file", input.display());
        let input = std::path::absolute(input).context("finding the input")?;
        let target = Target::of(&input)?;
        build(&[target])?;
        return run::replay(target, &input);
    }
    let all = Target::value_variants();
    let targets = if options.targets.is_empty() { all } else { &options.targets };
    build(targets)?;
    let mut outcomes = Vec::new();
    for target in targets {
        outcomes.push(step(target.name(), |step| run::fuzz(*target, options, step))?);
    }
    report(&outcomes)
}

fn build(targets: &[Target]) -> Result<()> {
    setup::ensure()?;
    if root::find("c++").is_none() {
        bail!(
            "c++ is missing: sudo apt-get install g++ (Debian, Ubuntu) or sudo dnf install gcc-c++"
        );
    }
    setup::tool(&CARGO_FUZZ)?;
    step("build the targets (minutes for the first time)", |step| {
        targets.iter().try_for_each(|target| step.run(build_one(*target)))
    })
}

fn build_one(target: Target) -> Command {
    let mut build = Command::new("rustup");
    build.args(["run", NIGHTLY]).arg(workspace::tool(CARGO_FUZZ.name)).arg("build");
    build.args(["--features", "libfuzzer", "--target-dir"]).arg(target::scratch());
    // Nearly everything is safe Rust: a sanitizer finds nothing that a panic does not, and makes
    // everything half as fast. Parts of a crate are built side by side, and linked as they are.
    build.args(["--sanitizer", "none", "--codegen-units", "16"]);
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env_remove("CARGO");
    build.arg(target.name()).current_dir(workspace::root());
    build
}

/// A line for each target, then what broke; an error if something did.
fn report(outcomes: &[Outcome]) -> Result<()> {
    let [target, inputs, rate, coverage, features, kept] =
        ["TARGET", "INPUTS", "A-SECOND", "COVERAGE", "FEATURES", "KEPT"];
    println!("  {target:<12} {inputs:>10} {rate:>9} {coverage:>9} {features:>9} {kept:>6}");
    for Outcome { target, status, elapsed, crashes, .. } in outcomes {
        let (good, name, rate) = (mark(crashes.is_empty()), target.name(), status.rate(*elapsed));
        let status::Status { runs, coverage, features, corpus } = status;
        println!("{good} {name:<12} {runs:>10} {rate:>9} {coverage:>9} {features:>9} {corpus:>6}");
    }
    let broken = outcomes.iter().filter(|outcome| !outcome.crashes.is_empty());
    broken.clone().for_each(explain);
    let names: Vec<&str> = broken.map(|outcome| outcome.target.name()).collect();
    ensure!(names.is_empty(), "an input breaks {}", names.join(", "));
    Ok(())
}

fn explain(outcome: &Outcome) {
    let name = outcome.target.name();
    for crash in &outcome.crashes {
        let path = crash::shown(Path::new(crash));
        println!("\n{name}: {path}");
        println!("  again: cargo xtask fuzz --replay {path}");
        println!("  or, with all others: cargo test -p lb-fuzz --test replay {name}");
    }
    for line in &outcome.said {
        println!("  | {line}");
    }
}
