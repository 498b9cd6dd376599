//! What the rules need to know of the node.

use super::{BackendKey, Family, NameServer};
use crate::model::{Endpoint, Node, Service, ServicePort, TrafficPolicy};
use ipnet::IpNet;
use lb_common::layout::frontend::Choice;
use lb_common::wire::Addr;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// When a client's address is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnatMode {
    /// Only where the way back needs it.
    #[default]
    Minimal,
    /// Wherever kube-proxy masquerades, and nowhere else.
    Always,
}

/// The node as the rules see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Its name, as endpoints name it.
    pub name: String,
    /// Its zone, for topology hints.
    pub zone: Option<String>,
    /// Its primary addresses: one of each family that it has.
    pub primary: Vec<IpAddr>,
    /// Families in which no address of the node serves node ports. For explanations only: a node
    /// port is planned whether or not an address serves it.
    pub without_node_ports: Vec<Family>,
    /// When addresses are replaced.
    pub snat: SnatMode,
    /// Pods can be told from outsiders, because the cluster's ranges are known.
    pub can_tell_pods: bool,
    /// Pods that ask a `ClusterIP` are masqueraded too.
    pub masquerade_all: bool,
    /// The agent's own name server, if it takes the place of the cluster's.
    pub name_server: Option<NameServer>,
}

impl NodeView {
    /// The view of `node`.
    pub fn new(node: &Node, snat: SnatMode, can_tell_pods: bool) -> Self {
        let zone = node.zone().map(str::to_owned);
        Self { name: node.name.clone(), zone, snat, can_tell_pods, ..Self::default() }
    }

    /// Whether an endpoint runs here.
    pub(super) fn has(&self, endpoint: &Endpoint) -> bool {
        endpoint.node.as_ref().is_some_and(|name| !name.is_empty() && *name == self.name)
    }

    /// Where the agent answers DNS questions in the place of a port of a Service.
    pub(super) fn stands_for(
        &self,
        service: &Service,
        port: &ServicePort,
        family: Family,
    ) -> Option<BackendKey> {
        self.name_server.as_ref()?.stands_for(service, port, family)
    }

    /// Bits of [`Choice`] for a `ClusterIP`, inside and outside. kube-proxy looks at the source
    /// only, and masquerades everybody outside the cluster's ranges, if it knows them.
    pub(super) fn cluster_ip_snat(&self) -> (u32, u32) {
        let outside = self.masquerade_all || self.can_tell_pods;
        (self.snat_if(self.masquerade_all), self.snat_if(outside))
    }

    /// The same for both sides of external frontends. The policy `Cluster` masquerades all. Whoever
    /// `Local` lets in keeps its address: a local endpoint answers by this node, and so do pods of
    /// the cluster, whom it does not bind.
    pub(super) fn external_snat(&self, policy: TrafficPolicy) -> u32 {
        self.snat_if(policy == TrafficPolicy::Cluster)
    }

    fn snat_if(&self, masqueraded: bool) -> u32 {
        match (self.snat, masqueraded) {
            (SnatMode::Minimal, _) => 0,
            (SnatMode::Always, true) => Choice::SNAT,
            (SnatMode::Always, false) => Choice::KEEP,
        }
    }
}

/// Which addresses of a node serve node ports, as the operator wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePorts {
    /// Where the addresses lie.
    pub within: NodePortAddresses,
    /// 127.0.0.1 serves processes of the node, if it lies there.
    pub localhost: bool,
}

/// Where addresses lie that serve node ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// In these ranges, judged per family; no range of a family means every address of it.
    Ranges(Vec<IpNet>),
    /// The primary addresses of the node.
    Primary,
}

impl NodePortAddresses {
    /// The ranges, for a node with these primary addresses.
    pub fn ranges(&self, primary: &[IpAddr]) -> Vec<IpNet> {
        match self {
            Self::Ranges(ranges) => ranges.clone(),
            Self::Primary => primary.iter().map(|ip| IpNet::from(*ip)).collect(),
        }
    }
}

impl NodePorts {
    /// The addresses among `own` that serve, for a node with these primary addresses.
    pub fn addrs(&self, own: impl Iterator<Item = IpAddr>, primary: &[IpAddr]) -> BTreeSet<Addr> {
        let localhost = self.localhost.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let own = own.filter(|ip| !ip.is_loopback()).chain(localhost);
        node_port_addrs(own, &self.within.ranges(primary))
    }
}

/// The addresses that serve node ports: those in `ranges`, judged per family; no range of a
/// family means every address of it. 127.0.0.1 serves processes of the node if it is among
/// `addrs`.
pub fn node_port_addrs(addrs: impl Iterator<Item = IpAddr>, ranges: &[IpNet]) -> BTreeSet<Addr> {
    addrs.filter(|ip| can_serve(ip) && allowed(ip, ranges)).map(Addr::from).collect()
}

fn allowed(ip: &IpAddr, ranges: &[IpNet]) -> bool {
    let of_family = |range: &&IpNet| range.addr().is_ipv4() == ip.is_ipv4();
    let mut own = ranges.iter().filter(of_family).peekable();
    own.peek().is_none() || own.any(|range| range.contains(ip))
}

/// IPv6 loopback never serves: the kernel does not route it.
fn can_serve(ip: &IpAddr) -> bool {
    let never = match ip {
        IpAddr::V4(v4) => v4.is_multicast(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_loopback() || v6.is_unicast_link_local(),
    };
    !never
}
