//! Both servers, the API server that they follow and the name server that they ask, on a host of
//! their own.

use super::api::Api;
use super::cluster::{DOMAIN, POD_CIDR, SERVICE_CIDR};
use super::upstream;
use crate::lab::{Host, Lab, Process, Program};
use crate::workspace;
use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Peer {
    /// The agent.
    #[serde(rename = "lb")]
    Lb,
    /// What most clusters have.
    CoreDns,
}

/// Which processor is whose.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cpus {
    pub(super) server: usize,
    pub(super) client: usize,
}

/// All that runs, and ends when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    lb: Process,
    core_dns: Process,
    _upstream: Process,
    _api: Api,
    pub(super) cpus: Cpus,
    pub(super) host: Host,
    _lab: Lab,
}

impl Peer {
    /// In the order in which they take turns.
    pub(super) const ALL: [Self; 2] = [Self::Lb, Self::CoreDns];

    /// Where it answers. Nobody else is in the namespace: every port is free.
    pub(super) fn address(self) -> SocketAddr {
        let port = match self {
            Self::Lb => 5301,
            Self::CoreDns => 5302,
        };
        (Ipv4Addr::LOCALHOST, port).into()
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lb => "lb",
            Self::CoreDns => "CoreDNS",
        })
    }
}

impl Cpus {
    /// The first two that this process may use.
    pub(super) fn choose() -> Result<Self> {
        let own = sched_getaffinity(Pid::from_raw(0)).context("asking for processors")?;
        let mut usable = (0..CpuSet::count()).filter(|cpu| own.is_set(*cpu).unwrap_or_default());
        let two = usable.next().zip(usable.next());
        let (server, client) = two.context("two processors are needed, and there is one")?;
        Ok(Self { server, client })
    }
}

impl Stage {
    /// Starts everything; `programs` is where the agent is.
    pub(super) fn start(programs: &Path) -> Result<Self> {
        let cpus = Cpus::choose()?;
        let lab = Lab::new()?;
        let host = lab.host("node")?;
        let api = Api::start(&host)?;
        let upstream = core_dns(&host, "upstream", &upstream::corefile())?.spawn()?;
        let core_dns = core_dns(&host, "CoreDNS", &corefile(&api))?.cpu(cpus.server).spawn()?;
        let lb = agent(&host, &api, programs)?.cpu(cpus.server).spawn()?;
        Ok(Self { lb, core_dns, _upstream: upstream, _api: api, cpus, host, _lab: lab })
    }

    /// A server's process.
    pub(super) fn process(&self, peer: Peer) -> &Process {
        match peer {
            Peer::Lb => &self.lb,
            Peer::CoreDns => &self.core_dns,
        }
    }

    /// What the servers have said last.
    pub(super) fn tails(&self) -> String {
        let tail = |peer: Peer| format!("{peer}:\n{}", self.process(peer).tail());
        Peer::ALL.map(tail).join("\n")
    }
}

/// As clusters have it (kubeadm's), except that it keeps answers as long as the agent does.
fn corefile(api: &Api) -> String {
    let (url, address, upstream) = (api.url(), Peer::CoreDns.address(), upstream::ADDRESS);
    format!(
        ".:{} {{
    bind {}
    errors
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        endpoint {url}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    prometheus {}:9153
    forward . {upstream}
    cache
    loadbalance
}}\n",
        address.port(),
        address.ip(),
        address.ip(),
    )
}

fn core_dns(host: &Host, name: &str, corefile: &str) -> Result<Program> {
    let file = host.folder()?.join(format!("{name}.corefile"));
    fs::write(&file, corefile).with_context(|| format!("writing {}", file.display()))?;
    let program = host.program(workspace::tool("coredns"));
    Ok(program.args(["-conf".as_ref(), file.as_os_str()]))
}

/// Programs are loaded as on every node, and have no link to work on but loopback.
fn agent(host: &Host, api: &Api, programs: &Path) -> Result<Program> {
    let folder = host.folder()?;
    let (kubeconfig, cgroup) = (folder.join("kubeconfig"), host.cgroup().join("pods"));
    fs::write(&kubeconfig, api.kubeconfig())
        .with_context(|| format!("writing {}", kubeconfig.display()))?;
    fs::create_dir_all(&cgroup).with_context(|| format!("creating {}", cgroup.display()))?;
    let (listen, upstream) = (Peer::Lb.address().to_string(), upstream::ADDRESS.to_string());
    let agent = host.program(programs.join("lb-agent")).args(["run", "--node", host.name()]);
    let agent = agent.args(["--cluster-cidr", POD_CIDR, "--service-cidr", SERVICE_CIDR]);
    let agent = agent.args(["--dns-listen", &listen, "--dns-upstream", &upstream]);
    let agent = agent.args(["--cluster-domain", DOMAIN]);
    let places = [
        ("--kubeconfig", kubeconfig),
        ("--cgroup", cgroup),
        ("--bpffs", host.bpffs()?),
        ("--state-dir", folder.join("state")),
    ];
    Ok(agent.args(places.into_iter().flat_map(|(flag, path)| [flag.into(), path.into_os_string()])))
}
