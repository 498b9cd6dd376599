//! `xtask lab exec`: the way of every program into its host.
//!
//! Joins the cgroup and the namespace, goes to its processor if it has one, then becomes the program:
//! it is in place before it opens a socket or counts processors, and no code runs between fork and
//! exec.

use super::{cgroup, etc, netns};
use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Where to go and what to become.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Namespace to enter
    #[arg(long)]
    pub netns: PathBuf,
    /// Control group to join
    #[arg(long)]
    pub cgroup: PathBuf,
    /// Folder of files to lay over those of /etc
    #[arg(long)]
    pub etc: Option<PathBuf>,
    /// The process to die with
    #[arg(long)]
    pub parent: Option<i32>,
    /// The only processor to run on
    #[arg(long)]
    pub cpu: Option<usize>,
    /// Program and arguments
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// Comes back only if something fails.
pub fn run(options: &Options) -> Result<()> {
    if let Some(parent) = options.parent {
        die_with(Pid::from_raw(parent))?;
    }
    cgroup::join(&options.cgroup)?;
    netns::enter(&options.netns)?;
    if let Some(folder) = &options.etc {
        etc::overlay(folder)?;
    }
    options.cpu.map_or(Ok(()), stay_on)?;
    let Some((program, arguments)) = options.program.split_first() else {
        bail!("no program given");
    };
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}

fn stay_on(cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    let own = Pid::from_raw(0);
    cpus.set(cpu)
        .and_then(|()| sched_setaffinity(own, &cpus))
        .with_context(|| format!("staying on processor {cpu}"))
}

/// The lab may be killed, and then nobody else would end this process.
fn die_with(parent: Pid) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL).context("binding this process to its lab")?;
    // It may have died before; then the kernel has given this process another parent.
    if getppid() != parent {
        bail!("the lab {parent} is gone");
    }
    // Signals blocked by whoever started the lab are not the program's business.
    SigSet::empty().thread_set_mask().context("unblocking signals")
}
