//! `cargo xtask bench datapath`: the programs, by the bench target of `lb-userspace`.

use crate::{root, setup, workspace};
use anyhow::{Context, Result, ensure};

/// How to tell.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Builds what is missing, then measures as root.
pub(super) fn run(options: Options) -> Result<()> {
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
    if options.json {
        cargo.args(["--", "--json"]);
    }
    let status = cargo.status().context("starting cargo bench")?;
    ensure!(status.success(), "the benchmark failed: {status}");
    Ok(())
}
