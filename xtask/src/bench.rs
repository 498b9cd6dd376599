//! `cargo xtask bench`: figures, measured and compared within one run.

use crate::{root, setup, workspace};
use anyhow::{Context, Result, ensure};

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to measure
    #[command(subcommand)]
    subject: Subject,
}

/// What can be measured.
#[derive(Clone, Debug, clap::Subcommand)]
enum Subject {
    /// Nanoseconds a packet of the real programs, and of one LRU hit to compare with
    ///
    /// A packet is restored before each run and the cost of an empty program is taken off.
    /// Figures of one run compare with each other; those of different machines do not.
    Datapath {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Builds what is missing, then measures as root.
pub fn run(options: &Options) -> Result<()> {
    let Subject::Datapath { json } = options.subject;
    setup::ensure()?;
    let mut cargo = workspace::cargo();
    // The development profile: the programs under test are built for release in any case, and
    // the runner only waits for them.
    cargo.args([
        "bench",
        "--quiet",
        "--profile",
        "dev",
        "--package",
        "lb-userspace",
        "--bench",
        "datapath",
    ]);
    cargo.args(root::runner()?);
    if json {
        cargo.args(["--", "--json"]);
    }
    let status = cargo.status().context("starting cargo bench")?;
    ensure!(status.success(), "the benchmark failed: {status}");
    Ok(())
}
