//! What the rules need to know of the node.

use crate::model::Node;
use ipnet::IpNet;
use lb_common::layout::frontend::Choice;
use lb_common::wire::Addr;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// When a client's address is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnatMode {
    /// Only where the way back needs it.
    #[default]
    Minimal,
    /// Wherever kube-proxy masquerades.
    Always,
}

/// The node as the rules see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Its name, as endpoints name it.
    pub name: String,
    /// Its zone, for topology hints.
    pub zone: Option<String>,
    /// When addresses are replaced.
    pub snat: SnatMode,
    /// Pods can be told from outsiders, because the cluster's ranges are known.
    pub can_tell_pods: bool,
    /// Pods that ask a ClusterIP are masqueraded too.
    pub masquerade_all: bool,
}

impl NodeView {
    /// The view of `node`.
    pub fn new(node: &Node, snat: SnatMode, can_tell_pods: bool) -> Self {
        let zone = node.zone().map(str::to_owned);
        Self { name: node.name.clone(), zone, snat, can_tell_pods, masquerade_all: false }
    }

    /// Bits of [`Choice`] for a ClusterIP: (inside, outside). kube-proxy looks at the source only,
    /// and masquerades everybody outside the cluster's ranges.
    pub(super) fn cluster_ip_snat(&self) -> (u32, u32) {
        let bit = |on: bool| if on && self.snat == SnatMode::Always { Choice::SNAT } else { 0 };
        (bit(self.masquerade_all), bit(self.masquerade_all || self.can_tell_pods))
    }

    /// The same for external frontends with the policy `Cluster`: kube-proxy masquerades all.
    pub(super) fn external_snat(&self) -> (u32, u32) {
        match self.snat {
            SnatMode::Always => (Choice::SNAT, Choice::SNAT),
            SnatMode::Minimal => (0, 0),
        }
    }
}

/// The addresses that serve node ports: those in `ranges`, judged per family; no range of a
/// family means every address of it. IPv6 loopback never serves; 127.0.0.1 does, for processes of
/// the node.
pub fn node_port_addrs(addrs: impl Iterator<Item = IpAddr>, ranges: &[IpNet]) -> BTreeSet<Addr> {
    let allowed = |ip: &IpAddr| {
        let mut own =
            ranges.iter().filter(|range| range.addr().is_ipv4() == ip.is_ipv4()).peekable();
        own.peek().is_none() || own.any(|range| range.contains(ip))
    };
    addrs
        .filter(|ip| {
            !(ip.is_ipv6() && ip.is_loopback()) && !ip.is_multicast() && !is_link_local_v6(ip)
        })
        .filter(allowed)
        .map(Addr::from)
        .collect()
}

fn is_link_local_v6(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}
