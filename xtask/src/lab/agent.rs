//! The agent on a node of a lab.

use super::{Host, Process, Program, kubia};
use crate::workspace;
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the agent may take to load its programs and fill its maps.
const START: Duration = Duration::from_secs(30);

/// How long it may take to end when told to.
const END: Duration = Duration::from_secs(10);

/// What it prints when everything that existed at its start is in the maps.
const READY: &str = "ready";

/// An agent that runs on a node.
#[derive(Debug)]
pub struct Agent {
    node: Host,
    process: Process,
}

impl Agent {
    /// Starts it with the CIDRs of the kubia network and waits until it is ready.
    pub fn start(node: &Host, manifests: &Path) -> Result<Self> {
        Self::start_with(node, manifests, [""; 0])
    }

    /// The same with further arguments.
    pub fn start_with(
        node: &Host,
        manifests: &Path,
        arguments: impl IntoIterator<Item: Into<OsString>>,
    ) -> Result<Self> {
        let mut process = program(node, manifests)?.args(arguments).spawn()?;
        process.wait_for(READY, START)?;
        Ok(Self { node: node.clone(), process })
    }

    /// The running program: its output, its signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What `lbctl` prints about this node.
    pub fn lbctl(&self, arguments: &[&str]) -> Result<String> {
        let lbctl = self.node.program(built("lbctl")?).args(["--bpffs".into(), self.node.bpffs()?]);
        lbctl.args(["--state-dir".into(), state(&self.node)?]).args(arguments).run()
    }

    /// Tells it to end and waits for a good end; its programs stay attached.
    pub fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(END)?;
        if !status.success() {
            bail!("lb-agent: {status}\n{}", self.process.tail());
        }
        Ok(())
    }
}

/// The agent's command line for a node of the kubia network.
pub fn program(node: &Host, manifests: &Path) -> Result<Program> {
    let state = state(node)?;
    std::fs::create_dir_all(&state).with_context(|| format!("creating {}", state.display()))?;
    let agent = node.program(built("lb-agent")?).args(["run", "--node", node.name()]);
    let agent = agent.args(["--cluster-cidr", &kubia::POD_CIDRS.join(",")]);
    let agent = agent.args(["--service-cidr", &kubia::SERVICE_CIDRS.join(",")]);
    let folders = [
        ("--manifests", manifests.to_path_buf()),
        ("--cgroup", node.cgroup().to_path_buf()),
        ("--bpffs", node.bpffs()?),
        ("--state-dir", state),
    ];
    Ok(agent.args(
        folders.into_iter().flat_map(|(flag, folder)| [flag.into(), folder.into_os_string()]),
    ))
}

/// The agent's folder for what outlives it.
pub fn state(node: &Host) -> Result<PathBuf> {
    Ok(node.folder()?.join("state"))
}

/// A program of the workspace.
pub fn built(name: &str) -> Result<PathBuf> {
    let program = workspace::programs()?.join(name);
    if !program.exists() {
        bail!("{} is missing: run `cargo xtask build` first", program.display());
    }
    Ok(program)
}
