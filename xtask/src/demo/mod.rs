//! `cargo xtask demo`: stories that are told on this machine, with the real agent.
//!
//! Each of them builds everything, makes a network of namespaces ([`Kubia`](crate::lab::Kubia)),
//! starts the agent on its node with a folder of `examples`, and makes claims, one line each, of
//! which every one is checked. Nothing outside of the namespaces is touched and nothing is left
//! behind.

/// How it is told.
mod tell;
/// Services at work.
mod services;
/// Names and what they lead to.
mod discovery;

use crate::lab::Host;
use crate::lab::agent::{self, Agent, built};
use crate::workspace;
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// What to show, and how.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// The story
    #[arg(value_enum, default_value_t)]
    pub story: Story,
    /// Leave it running at the end, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// What there is to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Story {
    /// One address for many pods: every kind of Service, with real connections
    #[default]
    Services,
    /// One name for many addresses: every kind of record, asked for by dig, glibc and musl
    Discovery,
}

/// Shows it; an error at the first claim that does not hold.
pub fn run(options: &Options) -> Result<()> {
    match options.story {
        Story::Services => services::run(options.keep),
        Story::Discovery => discovery::run(options.keep),
    }
}

/// A copy of a folder of examples, so that the story may change files.
fn manifests(node: &Host, example: &str) -> Result<PathBuf> {
    let folder = node.folder()?.join("manifests");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let examples = workspace::root().join("examples").join(example);
    let files =
        fs::read_dir(&examples).with_context(|| format!("reading {}", examples.display()))?;
    let paths = files.flatten().map(|file| file.path());
    for file in paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
        copy(&file, &folder)?;
    }
    Ok(folder)
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().context("a manifest without a name")?;
    fs::copy(file, folder.join(name)).with_context(|| format!("copying {}", file.display()))?;
    Ok(())
}

/// How a story went. Where a claim did not hold, the agent may have said why.
fn outcome(told: Result<()>, agent: &mut Agent) -> Result<()> {
    if told.is_err() {
        eprintln!("the agent's last lines:\n{}\n", agent.process().tail());
    }
    told
}

/// What a shell needs to start `lbctl` on a node.
fn lbctl(node: &Host) -> Result<String> {
    let (bpffs, state) = (node.bpffs()?, agent::state(node)?);
    let (lbctl, entry) = (built("lbctl")?, entry(node)?);
    let folders = format!("--bpffs {} --state-dir {}", bpffs.display(), state.display());
    Ok(format!("lbctl() {{ {entry} {} {folders} \"$@\"; }}", lbctl.display()))
}

/// The words before a command that a shell needs to start it on a host.
fn entry(host: &Host) -> Result<String> {
    let words = host.entry()?;
    Ok(words.join(OsStr::new(" ")).to_string_lossy().into_owned() + " --")
}

/// Says what to try, and waits for Ctrl-C.
fn keep(commands: &[String]) -> Result<()> {
    println!("\nIt keeps running until Ctrl-C. As root, try:");
    for command in commands {
        println!("  {command}");
    }
    loop {
        thread::park();
    }
}
