//! An agent on a node, and the folder of manifests that it reads.

use crate::patience::{LONG, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use xtask::lab::Host;
use xtask::lab::agent::{Agent, built};
use xtask::workspace;

/// An agent that may be running, and what it works with.
pub(crate) struct Deployment {
    agent: Option<Agent>,
    flags: Vec<String>,
    manifests: PathBuf,
    node: Host,
}

impl Deployment {
    /// An agent that is not started yet, with a folder of manifests that is empty.
    pub(crate) fn new(node: &Host) -> Self {
        let manifests = node.folder().unwrap().join("manifests");
        fs::create_dir_all(&manifests).unwrap();
        Self { agent: None, flags: Vec::new(), manifests, node: node.clone() }
    }

    /// Starts the agent with these flags behind the usual ones, and waits until it is ready.
    pub(crate) fn start_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.start();
    }

    /// Starts it with the flags it had last.
    pub(crate) fn start(&mut self) {
        let agent = Agent::start_with(&self.node, &self.manifests, self.flags.clone());
        self.agent = Some(agent.unwrap());
    }

    /// Ends it as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        drop(self.agent.take().unwrap());
    }

    /// Ends it as a service manager would (SIGTERM).
    pub(crate) fn stop(&mut self) {
        self.agent.take().unwrap().stop().unwrap();
    }

    /// Sends it a signal that does not end it.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.agent.as_mut().unwrap().process().signal(signal).unwrap();
    }

    /// The folder of manifests.
    pub(crate) fn manifests(&self) -> &Path {
        &self.manifests
    }

    /// Writes a manifest in one step, as editors do.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let draft = self.manifests.with_file_name("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.manifests.join(file)).unwrap();
    }

    /// Removes a manifest.
    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.manifests.join(file)).unwrap();
    }

    /// Adds a manifest of the examples.
    pub(crate) fn example(&self, file: &str) {
        let path = workspace::root().join("examples/kubia").join(file);
        self.write(file, &fs::read_to_string(path).unwrap());
    }

    /// The agent's folder for what outlives it.
    pub(crate) fn state(&self) -> PathBuf {
        self.node.folder().unwrap().join("state")
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Value {
        let file = self.state().join("status.json");
        eventually("the agent writes its status", || file.exists());
        serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
    }

    /// What the agent says is wrong: subject, field and message in one line each.
    pub(crate) fn problems(&self) -> Vec<String> {
        let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
        let line = |problem| {
            let [subject, field, message] =
                ["subject", "field", "message"].map(|key| text(problem, key));
            format!("{subject}: {field}: {message}")
        };
        self.status()["problems"].as_array().unwrap().iter().map(line).collect()
    }

    /// Waits until one line of the problems has all of these words.
    pub(crate) fn await_problem(&self, words: &[&str]) {
        let told =
            || self.problems().iter().any(|line| words.iter().all(|word| line.contains(word)));
        eventually(&format!("a problem with {words:?} in {:#?}", self.problems()), told);
    }

    /// The links that the agent says it serves.
    pub(crate) fn links(&self) -> Vec<String> {
        let status = self.status();
        let links = status["links"].as_array().unwrap().iter();
        links.map(|link| link["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of all that is pinned.
    pub(crate) fn pins(&self) -> Vec<String> {
        names_below(&self.node.bpffs().unwrap())
    }

    /// What `lbctl -o json` prints.
    pub(crate) fn lbctl(&self, arguments: &[&str]) -> Value {
        let lbctl = self.node.program(built("lbctl").unwrap());
        let lbctl = lbctl.args(["--bpffs".into(), self.node.bpffs().unwrap()]);
        let lbctl = lbctl.args(["--state-dir".into(), self.state()]);
        serde_json::from_str(&lbctl.args(arguments).args(["-o", "json"]).run().unwrap()).unwrap()
    }

    /// Runs `lb-agent cleanup`; what it says.
    pub(crate) fn clean_up(&self) -> String {
        let agent = self.node.program(built("lb-agent").unwrap()).args(["cleanup", "--bpffs"]);
        let agent =
            agent.args([self.node.bpffs().unwrap()]).args(["--state-dir".into(), self.state()]);
        agent.patience(LONG).run().unwrap()
    }
}

/// The names of all files below a folder.
fn names_below(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().flat_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() { names_below(&entry.path()) } else { vec![name] }
    });
    names.collect()
}
