//! `cargo xtask demo`: the story of Kubernetes Services, on this machine, with the real agent.
//!
//! Builds everything, makes a network of namespaces ([`Kubia`]), starts the agent on its node with
//! the manifests of `examples/kubia`, and checks each claim with real connections. Nothing outside
//! of the namespaces is touched and nothing is left behind.

/// What is expected of connections, and how it is told.
mod check;
/// The claims in order.
mod story;

use crate::lab::agent::{self, Agent, built};
use crate::lab::{Host, Kubia};
use crate::{build, root, workspace};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use story::Stage;

/// How to show it.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Leave it running at the end, until Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Shows it; an error at the first claim that does not hold.
pub fn run(options: &Options) -> Result<()> {
    root::after_build(&build::Options::default())?;
    println!("\nA network of namespaces: three pods on a node, a client outside, two hosts beyond");
    let network = Kubia::new()?;
    let _servers = network.serve()?;
    let manifests = manifests(&network.node)?;
    let agent = Agent::start(&network.node, &manifests)?;
    check::tick("the agent has read examples/kubia and its programs are in the kernel");
    let mut stage = Stage { agent, manifests, network };
    if let Err(error) = story::tell(&stage) {
        eprintln!("the agent's last lines:\n{}\n", stage.agent.process().tail());
        return Err(error);
    }
    if options.keep {
        keep(&stage)?;
    }
    Ok(())
}

/// A copy of the examples, so that the story may remove files.
fn manifests(node: &Host) -> Result<PathBuf> {
    let folder = node.folder()?.join("manifests");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let examples = workspace::root().join("examples/kubia");
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

/// Says what to try, and waits for Ctrl-C.
fn keep(stage: &Stage) -> Result<()> {
    let Stage { network, manifests, .. } = stage;
    let (xtask, lbctl, node) = (built("xtask")?, built("lbctl")?, &network.node);
    let (netns, cgroup) = (node.netns().display(), node.cgroup().display());
    let on_node = format!("{} lab exec --netns {netns} --cgroup {cgroup} --", xtask.display());
    let (bpffs, state) = (node.bpffs()?, agent::state(node)?);
    let folders = format!("--bpffs {} --state-dir {}", bpffs.display(), state.display());
    let id = network.lab.id();
    println!("\nIt keeps running until Ctrl-C. As root, try:");
    println!("  ip netns exec {id}-shell curl http://10.96.0.10");
    println!("  ip netns exec {id}-client curl http://192.0.2.2:30123");
    println!("  {on_node} curl http://10.96.0.10");
    println!("  lbctl() {{ {on_node} {} {folders} \"$@\"; }}", lbctl.display());
    println!("  lbctl get services");
    println!("  lbctl trace --from 10.244.0.20 --to 10.96.0.10:80");
    println!("  lbctl explain service default/kubia");
    println!("  rm {}/pod-kubia-2.yaml", manifests.display());
    loop {
        thread::park();
    }
}
