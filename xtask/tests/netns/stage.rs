//! The kubia network with servers and an agent: three pods, and clients of each kind.

use crate::deployment::Deployment;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use xtask::lab::kubia::NODE;
use xtask::lab::{Host, Kubia, Process};

/// The pods of the examples.
pub(crate) const PODS: [&str; 3] = ["kubia-1", "kubia-2", "kubia-3"];

/// The Service `web`: HTTP, UDP and bulk of all pods, both families, node ports.
const WEB: &str = include_str!("manifests/web.yaml");

/// The Service's own addresses and ports.
pub(crate) const VIPS: [&str; 2] = ["10.96.0.20", "fd00:10:96::20"];
/// HTTP at a VIP.
pub(crate) const HTTP: u16 = 80;
/// Echoes datagrams at a VIP.
pub(crate) const UDP: u16 = 53;
/// Large transfers at a VIP.
pub(crate) const BULK: u16 = 5001;
/// HTTP at the node.
pub(crate) const NODE_HTTP: u16 = 30080;
/// Echoes datagrams at the node.
pub(crate) const NODE_UDP: u16 = 30053;
/// Large transfers at the node.
pub(crate) const NODE_BULK: u16 = 30501;

/// The network, its servers, and the agent. Dropped in this order: the agent lets go of the links
/// before they go.
pub(crate) struct Stage {
    agent: Deployment,
    _servers: Vec<Process>,
    pub(crate) network: Kubia,
}

impl Stage {
    /// The agent runs and serves `web`.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with further flags.
    pub(crate) fn with(flags: &[&str]) -> Self {
        Self::with_files(&[], flags)
    }

    /// The same with further manifests too.
    pub(crate) fn with_files(files: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut stage = Self::idle();
        for (file, text) in files {
            stage.write(file, text);
        }
        stage.agent.start_with(flags);
        stage
    }

    /// The same before the agent is started.
    pub(crate) fn idle() -> Self {
        let network = Kubia::new().unwrap();
        let servers = network.serve().unwrap();
        let agent = Deployment::new(&network.node);
        agent.write("web.yaml", WEB);
        for name in PODS {
            agent.example(&format!("pod-{name}.yaml"));
        }
        Self { agent, _servers: servers, network }
    }

    /// A client in a pod, on the node, and outside.
    pub(crate) fn clients(&self) -> [&Host; 3] {
        [&self.network.shell, &self.network.node, &self.network.client]
    }
}

impl Deref for Stage {
    type Target = Deployment;

    fn deref(&self) -> &Deployment {
        &self.agent
    }
}

impl DerefMut for Stage {
    fn deref_mut(&mut self) -> &mut Deployment {
        &mut self.agent
    }
}

/// A port of both addresses of `web`.
pub(crate) fn vips(port: u16) -> [SocketAddr; 2] {
    VIPS.map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
}

/// A port of both addresses of the node.
pub(crate) fn node_ports(port: u16) -> [SocketAddr; 2] {
    NODE.map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
}
