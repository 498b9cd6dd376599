//! `cargo xtask run -- ARGS`: builds, then becomes `lb-agent ARGS` as root.

use crate::{build, root, workspace};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;

/// What to build and what to tell the agent.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How to build.
    #[command(flatten)]
    pub build: build::Options,
    /// Arguments of lb-agent
    #[arg(last = true)]
    pub arguments: Vec<OsString>,
}

/// Never comes back if the agent starts: it takes this process' place and gets its signals.
pub fn run(options: &Options) -> Result<()> {
    build::run(&options.build)?;
    let agent = workspace::programs_of(options.build.release)?.join("lb-agent");
    let mut command = root::command(&agent)?;
    bail!("starting {}: {}", agent.display(), command.args(&options.arguments).exec())
}
