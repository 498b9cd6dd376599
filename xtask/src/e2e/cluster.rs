//! The scripts that start a cluster, and what is run in it.
//!
//! `PROXY=none` and `PROXY_CMD` put the agent in kube-proxy's place: the command runs in every
//! node, with `KUBECONFIG`, `NODE_NAME` and `CLUSTER_CIDR` in its environment.

use super::Options;
use crate::step::{self, Step, step};
use anyhow::{Context as _, Result, bail, ensure};
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The agent's state folder in a node.
pub(super) const STATE: &str = "/run/lb";
/// The nodes, by name.
pub(super) const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
/// Until the agents know of a change.
pub(super) const CATCH_UP: Duration = Duration::from_secs(2);
/// How many of Kubernetes' tests run at a time.
const AT_A_TIME: &str = "4";
/// Until the agents of all nodes serve.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that runs.
pub(super) struct Cluster {
    scripts: PathBuf,
    /// Where our programs are.
    programs: PathBuf,
    cni: String,
    ip_family: String,
    /// How the agent is started.
    command: String,
    /// Its flags beside those that it has on every node.
    flags: String,
}

impl Cluster {
    /// Builds what is missing and starts a cluster with the agent in `programs`.
    pub(super) fn up(options: &Options, programs: PathBuf) -> Result<Self> {
        let scripts = options.cluster.canonicalize().with_context(|| {
            format!("--cluster {}: a folder of scripts is needed", options.cluster.display())
        })?;
        let mut cluster = Self {
            scripts,
            command: String::new(),
            flags: String::new(),
            programs,
            cni: options.cni.clone(),
            ip_family: options.ip_family.clone(),
        };
        cluster.command = cluster.agent_command(&cluster.programs, "");
        step("build Kubernetes (a quarter of an hour for the first time)", |step| {
            step.run(cluster.script("build.sh"))
        })?;
        step("start the cluster", |step| step.run(cluster.script("up.sh")))?;
        // One that was kept runs another build, or kube-proxy.
        step("start the agents", |_| cluster.start_agents("restart"))?;
        Ok(cluster)
    }

    /// Ends it.
    pub(super) fn down(&self, keep: bool) -> Result<()> {
        if keep {
            return Ok(());
        }
        step("stop the cluster", |step| step.run(self.script("down.sh")))
    }

    /// One of the scripts.
    pub(super) fn script(&self, name: &str) -> Command {
        let mut command = Command::new(self.scripts.join(name));
        command.env("PROXY", "none").env("PROXY_CMD", &self.command);
        command.env("CNI", &self.cni).env("IPFAMILY", &self.ip_family);
        command.stdin(Stdio::null());
        command
    }

    /// Where our programs are.
    pub(super) fn programs(&self) -> &Path {
        &self.programs
    }

    /// Stops all agents (SIGTERM) and starts those in `programs`, each behind the words of
    /// `prefix`.
    pub(super) fn replace_agents(&mut self, programs: &Path, prefix: &str) -> Result<()> {
        self.command = self.agent_command(programs, prefix);
        self.start_agents("restart")
    }

    /// Stops all agents and starts them with these flags beside those that they always have.
    pub(super) fn set_flags(&mut self, flags: &str) -> Result<()> {
        flags.clone_into(&mut self.flags);
        self.command = self.agent_command(&self.programs, "");
        self.start_agents("restart")
    }

    /// Kills all agents (SIGKILL) and starts them again.
    pub(super) fn kill_agents(&self) -> Result<()> {
        NODES.iter().try_for_each(|node| self.kill_agent(node))?;
        self.start_agents("start")
    }

    /// Kills the agent of a node (SIGKILL).
    pub(super) fn kill_agent(&self, node: &str) -> Result<()> {
        // Its pid stands in a file that proxy.sh knows it by.
        output(self.in_node(node).args(["sh", "-c", "kill -KILL $(cat /run/proxy.pid)"])).map(drop)
    }

    /// Stops the nodes' own agents; nothing takes their place.
    pub(super) fn stop_agents(&self) -> Result<()> {
        output(self.script("proxy.sh").arg("stop")).map(drop)
    }

    /// Starts (or restarts) the nodes' own agents.
    pub(super) fn start_agents(&self, verb: &str) -> Result<()> {
        // It gives them a second; whether they run is found out below.
        let said = self.script("proxy.sh").arg(verb).output().context("starting proxy.sh")?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        self.await_agents().with_context(|| format!("proxy.sh {verb} said: {said}"))
    }

    /// Puts kube-proxy in the agents' place (PROXY: its mode), of which nothing is left.
    pub(super) fn go_back(&self, mode: &str) -> Result<()> {
        let mut command = self.script("proxy.sh");
        let agent = self.programs.join("lb-agent");
        let cleanup = format!("{} cleanup --state-dir {STATE}", agent.display());
        command.arg("restart").env("PROXY", mode).env("PROXY_CLEANUP", cleanup);
        output(&mut command).map(drop)
    }

    /// What an agent that touches nothing says beside the kube-proxy of a node.
    pub(super) fn shadow(&self, node: &str) -> Result<String> {
        let shadow = format!("{} --shadow --once", self.agent_command(&self.programs, ""));
        let said = self.beside_proxy(node, "exec bash -c \"$1\"").arg(shadow).output()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        ensure!(said.status.success(), "{text}{}", String::from_utf8_lossy(&said.stderr));
        Ok(text)
    }

    /// Starts the agent of a node beside its kube-proxy, and ends kube-proxy once it serves.
    pub(super) fn take_over(&self, node: &str) -> Result<()> {
        /// Prints kube-proxy's process id, and leaves the agent's in its place.
        const START: &str = "setsid bash -c 'echo $$ >/run/proxy.pid; exec bash -c \"$1\"' - \"$1\" \
             </dev/null >>/proc/$old/fd/1 2>&1 & echo $old";
        let agent = self.agent_command(&self.programs, "");
        let old = text(output(self.beside_proxy(node, START).arg(agent))?)?;
        self.await_agent(node, &old)?;
        output(self.in_node(node).args(["kill", old.trim()])).map(drop)
    }

    /// A shell script in a node, with what kube-proxy there has in its environment, and its
    /// process id in `old`; arguments are still to be added.
    fn beside_proxy(&self, node: &str, script: &str) -> Command {
        const ENVIRONMENT: &str = "set -e; old=$(cat /run/proxy.pid); while IFS= read -r -d '' pair; \
             do export \"$pair\"; done </proc/$old/environ;";
        let mut command = self.in_node(node);
        command.args(["bash", "-c", &format!("{ENVIRONMENT} {script}"), "beside-proxy"]);
        command
    }

    /// Waits until the agents of all nodes serve what there is.
    fn await_agents(&self) -> Result<()> {
        NODES.iter().try_for_each(|node| self.await_agent(node, ""))
    }

    /// Waits until an agent of a node, and not the process `old`, serves what there is.
    fn await_agent(&self, node: &str, old: &str) -> Result<()> {
        eventually(PATIENCE, &format!("the agent of {node} serves"), || {
            let status = self.lbctl(node, &["get", "status", "-o", "json"])?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            let pid = self.agent_pid(node)?;
            ensure!(pid != old.trim(), "it has not started yet");
            let pid: u64 = pid.parse()?;
            let has = |at, value: serde_json::Value| status.pointer(at) == Some(&value);
            ensure!(has("/running", true.into()), "no agent runs");
            ensure!(has("/agent/pid", pid.into()), "it has not said so yet");
            ensure!(has("/agent/synced", true.into()), "it is not synced");
            Ok(())
        })?;
        Ok(())
    }

    /// The agent's process id in a node.
    pub(super) fn agent_pid(&self, node: &str) -> Result<String> {
        let read = output(self.in_node(node).args(["cat", "/run/proxy.pid"]))?;
        Ok(text(read)?.trim().to_owned())
    }

    /// What `lbctl` prints in a node.
    pub(super) fn lbctl(&self, node: &str, arguments: &[&str]) -> Result<String> {
        let lbctl = self.programs.join("lbctl");
        let mut command = self.in_node(node);
        command.arg(lbctl).args(arguments).args(["--state-dir", STATE]);
        text(output(&mut command)?)
    }

    /// A command in a node, to which the program is still to be added.
    pub(super) fn in_node(&self, node: &str) -> Command {
        let mut command = self.script("node.sh");
        command.arg(node);
        command
    }

    /// A command in the network of a pod of a node, to which the program is still to be added.
    pub(super) fn in_pod(&self, node: &str, ip: &str) -> Command {
        /// Finds the network namespace that has an address.
        const FIND: &str = "ip=$1; shift; for ns in /run/netns/*; do \
             nsenter --net=$ns ip -o addr | grep -qwF \"$ip\" && exec nsenter --net=$ns \"$@\"; \
             done; echo \"no pod has $ip\" >&2; exit 1";
        let mut command = self.in_node(node);
        command.args(["bash", "-c", FIND, "in-pod", ip]);
        command
    }

    /// A command outside the cluster, beside its control plane; the program is still to be added.
    pub(super) fn outside() -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "kc-cp"]);
        command
    }

    /// What `kubectl` prints.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        text(output(self.script("kubectl.sh").args(arguments))?)
    }

    /// Applies a manifest.
    pub(super) fn apply(&self, manifest: &str) -> Result<()> {
        self.tell(&["apply"], manifest)
    }

    /// Deletes what stands in a manifest, if it is there.
    pub(super) fn delete(&self, manifest: &str) -> Result<()> {
        self.tell(&["delete", "--ignore-not-found"], manifest)
    }

    /// The address of a node.
    pub(super) fn address(&self, node: &str) -> Result<IpAddr> {
        const ADDRESSES: &str = "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}";
        let addresses = self.kubectl(&["get", "node", node, "-o", ADDRESSES])?;
        Ok(addresses.split(' ').next().unwrap_or_default().parse()?)
    }

    /// Runs Kubernetes' own tests whose names match `focus` and not `skipped`.
    pub(super) fn official(&self, focus: &str, skipped: &str) -> Result<()> {
        let mut tests = self.script("e2e.sh");
        tests.arg(focus).env("PROCS", AT_A_TIME).env("SKIP", skipped);
        step::show(&mut tests)
    }

    /// The agent as a node starts it, behind the words of `prefix`.
    fn agent_command(&self, programs: &Path, prefix: &str) -> String {
        let agent = programs.join("lb-agent");
        format!(
            "exec {prefix} {} run --kubeconfig $KUBECONFIG --node $NODE_NAME --cluster-cidr \
             $CLUSTER_CIDR --state-dir {STATE} {}",
            agent.display(),
            self.flags
        )
    }

    fn tell(&self, verb: &[&str], manifest: &str) -> Result<()> {
        let mut command = self.script("kubectl.sh");
        command.args(verb).args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("starting kubectl")?;
        child.stdin.take().context("kubectl reads nothing")?.write_all(manifest.as_bytes())?;
        ensure!(child.wait()?.success(), "kubectl refused the manifest");
        Ok(())
    }
}

/// Runs a command to its end.
pub(super) fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", command.get_program().display(), output.status, said.trim());
    }
    Ok(output)
}

fn text(output: Output) -> Result<String> {
    String::from_utf8(output.stdout).context("its output is no text")
}

/// Tries until it goes well; how long that took.
pub(super) fn eventually(
    patience: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<()>,
) -> Result<Duration> {
    let started = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return Ok(started.elapsed()),
            Err(error) if started.elapsed() > patience => {
                return Err(error.context(format!("waited {patience:?} until {what}")));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Lets some time pass, and shows how much is left.
pub(super) fn pass(step: &Step, whole: Duration) {
    let started = Instant::now();
    while let Some(left) = whole.checked_sub(started.elapsed()) {
        step.progress(&format!("{} s left", left.as_secs()));
        thread::sleep(left.min(Duration::from_secs(1)));
    }
}
