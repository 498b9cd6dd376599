//! What the story happens on: the kubia network, whose pods can turn unready, the agent that answers
//! the client among them, and a name server outside that knows of another name.

use super::super::manifests;
use super::library;
use crate::lab::agent::Agent;
use crate::lab::kubia::{HTTP, HTTPS, UDP};
use crate::lab::traffic::serve;
use crate::lab::{Host, Kubia, Process};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::PathBuf;

/// Where the agent answers: the node's addresses on the bridge of its pods.
const LISTEN: &str = "10.244.0.1:53,[fd00:10:244::1]:53";

/// The name server for all other names: `external-1`.
const UPSTREAM: &str = "192.0.2.111";

/// The names that it knows.
const ELSEWHERE: [&str; 2] = ["api.example.com=198.51.100.80", "api.example.com=2001:db8:51::80"];

/// What a kubelet writes for a pod in the namespace `default` that is told both addresses.
const RESOLV_CONF: &str = "\
search default.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.244.0.1
nameserver fd00:10:244::1
options ndots:5
";

/// What images have: no other source of names may answer for the machine.
const NSSWITCH_CONF: &str = "hosts: files dns\n";
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n";

/// The network, its servers and its agent.
pub(super) struct Stage {
    /// Goes first: it lets go of the links before they go.
    pub(super) agent: Agent,
    /// The pods.
    pub(super) members: [Member; 3],
    _upstream: Process,
    /// The hosts.
    pub(super) network: Kubia,
}

/// A pod that answers probes.
pub(super) struct Member {
    /// What it is called.
    pub(super) name: String,
    /// It is ready while this file exists.
    pub(super) ready: PathBuf,
    /// Its server.
    pub(super) server: Process,
}

impl Stage {
    /// Builds and starts all of it.
    pub(super) fn new() -> Result<Self> {
        let network = Kubia::new()?;
        let members = network.pods.iter().map(member).collect::<Result<Vec<_>>>()?;
        let Ok(members) = members.try_into() else { bail!("the network has not three pods") };
        let files =
            [("resolv.conf", RESOLV_CONF), ("nsswitch.conf", NSSWITCH_CONF), ("hosts", HOSTS)];
        files.iter().try_for_each(|(name, text)| network.shell.etc(name, text))?;
        let upstream = upstream(&network)?;
        let manifests = manifests(&network.node, "discovery")?;
        let flags = ["--dns-listen", LISTEN, "--dns-upstream", UPSTREAM];
        let agent = Agent::start_with(&network.node, &manifests, flags)?;
        Ok(Self { agent, members, _upstream: upstream, network })
    }

    /// The clients with their versions.
    pub(super) fn clients(&self) -> Result<String> {
        let shell = &self.network.shell;
        // It prints its version where errors go.
        let mut dig = shell.program("dig").args(["-r", "-v"]).spawn()?;
        dig.wait(library::PATIENCE)?;
        let said = dig.tail();
        let dig = said.split_whitespace().nth(1).with_context(|| format!("dig -v: {said:?}"))?;
        let glibc = library::glibc_version(shell)?;
        Ok(format!("dig {dig}, glibc {glibc} (getent), and musl (lookup)"))
    }
}

/// Starts the servers of a pod, which is ready.
fn member(pod: &Host) -> Result<Member> {
    let ready = pod.folder()?.join("ready");
    File::create(&ready).with_context(|| format!("creating {}", ready.display()))?;
    let name = pod.name().to_owned();
    let server = serve::Options::new(&name).http(HTTP).http(HTTPS).udp(UDP).ready(ready.clone());
    let server = pod.serve(&server)?;
    Ok(Member { name, ready, server })
}

/// Starts the name server beyond the node.
fn upstream(network: &Kubia) -> Result<Process> {
    let [host, ..] = network.external.as_slice() else { bail!("the network has no other host") };
    host.serve(&serve::Options::new(host.name()).dns(53, &ELSEWHERE))
}
