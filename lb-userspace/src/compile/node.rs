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
    /// Pods that ask a `ClusterIP` are masqueraded too.
    pub masquerade_all: bool,
}

impl NodeView {
    /// The view of `node`.
    pub fn new(node: &Node, snat: SnatMode, can_tell_pods: bool) -> Self {
        let zone = node.zone().map(str::to_owned);
        Self { name: node.name.clone(), zone, snat, can_tell_pods, masquerade_all: false }
    }

    /// Bits of [`Choice`] for a `ClusterIP`, inside and outside. kube-proxy looks at the source
    /// only, and masquerades everybody outside the cluster's ranges.
    pub(super) fn cluster_ip_snat(&self) -> (u32, u32) {
        let outside = self.masquerade_all || self.can_tell_pods;
        (self.snat_if(self.masquerade_all), self.snat_if(outside))
    }

    /// The same for external frontends with the policy `Cluster`: kube-proxy masquerades all.
    pub(super) fn external_snat(&self) -> u32 {
        self.snat_if(true)
    }

    fn snat_if(&self, masqueraded: bool) -> u32 {
        if masqueraded && self.snat == SnatMode::Always { Choice::SNAT } else { 0 }
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
