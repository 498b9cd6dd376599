//! `cargo xtask build`: setup, then the agent, its command line and this program.

use crate::step::show;
use crate::{setup, workspace};
use anyhow::Result;

/// How to build.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Build optimized programs
    #[arg(long)]
    pub release: bool,
}

/// Builds the workspace's default members; their programs go to `workspace::programs_of`.
pub fn run(options: &Options) -> Result<()> {
    setup::ensure()?;
    let mut build = workspace::cargo();
    build.arg("build");
    if options.release {
        build.arg("--release");
    }
    show(&mut build)
}
