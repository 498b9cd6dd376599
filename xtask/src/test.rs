//! `cargo xtask test`: everything that CI checks.
//!
//! Each check runs even if an earlier one failed, so that one run shows all there is to mend.
//! `cargo test` comes last and the output ends with its own closing lines if all is well. It
//! builds as the calling user; only the test programs run as root.

use crate::step::{mark, seconds, show, step};
use crate::toolchain::{CARGO_DENY, NIGHTLY};
use crate::{build, root, setup, tidy, workspace};
use anyhow::{Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// What `test` is told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Arguments of `cargo test`, such as a test's name
    #[arg(last = true)]
    pub arguments: Vec<String>,
}

/// How a check went.
struct Outcome {
    name: &'static str,
    elapsed: Duration,
    result: Result<()>,
}

/// A check: what it is called, and what it does.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: [Check; 6] = [
    ("format", format),
    ("clippy", clippy),
    ("clippy of the BPF programs", clippy_ebpf),
    ("tidy", tidy::check),
    ("dependencies", deny),
    ("build", build),
];

/// Runs every check, then the tests.
pub fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    let outcomes: Vec<Outcome> = CHECKS.iter().map(check).collect();
    summarize(&outcomes);
    let failed: Vec<&str> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|o| o.name).collect();
    let tested = tests(&options.arguments);
    if !failed.is_empty() {
        bail!("failed before the tests: {}", failed.join(", "));
    }
    tested
}

fn check((name, work): &Check) -> Outcome {
    eprintln!("── {name}");
    let started = Instant::now();
    let result = work();
    if let Err(error) = &result {
        eprintln!("{error:#}");
    }
    Outcome { name, elapsed: started.elapsed(), result }
}

fn summarize(outcomes: &[Outcome]) {
    eprintln!("── summary");
    for Outcome { name, elapsed, result } in outcomes {
        eprintln!("{} {name:<28} {}", mark(result.is_ok()), seconds(*elapsed));
    }
    eprintln!("── tests");
}

fn format() -> Result<()> {
    show(workspace::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    show(workspace::cargo().args(["clippy", "--all-targets", "--", "-D", "warnings"]))
}

/// The BPF programs are checked by the compiler and for the target that they are built with.
fn clippy_ebpf() -> Result<()> {
    if !workspace::root().join("lb-ebpf/Cargo.toml").exists() {
        return Ok(());
    }
    step("clippy for the nightly", |step| {
        let mut add = Command::new("rustup");
        add.args(["component", "add", "clippy", "--toolchain", NIGHTLY]);
        step.run(add)
    })?;
    let mut clippy = Command::new("rustup");
    // Its dependencies are not asked: they have been, by the other compiler's clippy.
    clippy.args(["run", NIGHTLY, "cargo", "clippy", "--package", "lb-ebpf", "--no-deps"]);
    clippy.args("--target bpfel-unknown-none -Z build-std=core -- -D warnings".split(' '));
    show(clippy.current_dir(workspace::root()).env_remove("CARGO"))
}

/// Without advisories: their database is not a package registry, and CI has nothing else.
fn deny() -> Result<()> {
    setup::tool(&CARGO_DENY)?;
    let mut deny = Command::new(workspace::tool(CARGO_DENY.name));
    deny.args(["--workspace", "--log-level", "error", "check", "--hide-inclusion-graph"]);
    deny.args(["bans", "licenses", "sources"]);
    show(deny.current_dir(workspace::root()))
}

fn build() -> Result<()> {
    build::run(&build::Options { lookup: true, ..build::Options::default() })
}

fn tests(arguments: &[String]) -> Result<()> {
    let mut test = workspace::cargo();
    test.args(["test", "--no-fail-fast"]);
    test.args(root::runner()?);
    show(test.args(arguments))
}
