//! `cargo xtask build`: setup, then the agent, its command line and this program.

use crate::step::show;
use crate::{setup, toolchain, workspace};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// How to build.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Build optimized programs
    #[arg(long)]
    pub release: bool,
    /// Build [`lookup`] too; for the tasks that need it, because it needs another target installed.
    #[arg(skip)]
    pub lookup: bool,
}

/// Builds the workspace's default members; their programs go to `workspace::programs_of`.
pub fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    let mut build = workspace::cargo();
    build.arg("build");
    if options.release {
        build.arg("--release");
    }
    show(&mut build)?;
    if options.lookup { build_lookup() } else { Ok(()) }
}

/// The client that resolves names by musl.
pub fn lookup() -> Result<PathBuf> {
    let program = workspace::programs_for(&toolchain::musl())?.join("lookup");
    if !program.exists() {
        bail!("{} is missing: `cargo xtask test` builds it", program.display());
    }
    Ok(program)
}

fn build_lookup() -> Result<()> {
    let target = toolchain::musl();
    setup::target(&target)?;
    show(workspace::cargo().args(["build", "--package", "lookup", "--target", &target]))
}
