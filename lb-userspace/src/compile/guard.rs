//! Who may use the load-balancer addresses of a Service: `loadBalancerSourceRanges`.
//!
//! Judged per family: without a range of a family, or with all of it, everybody may. The guard
//! stands whether or not there are endpoints, as with kube-proxy in nftables mode, and never
//! before other addresses of the Service.

use super::{Family, NodeView};
use crate::model::Service;
use ipnet::IpNet;
use lb_common::wire::Addr;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A range of addresses as the maps have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Bits that count, 0 to 128; an IPv4 prefix of n bits has 96 + n.
    pub len: u32,
    /// The address, as in [`Addr`].
    pub addr: [u8; 16],
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Self {
        let net = net.trunc();
        let mapped = if net.addr().is_ipv4() { 96 } else { 0 };
        Self { len: u32::from(net.prefix_len()) + mapped, addr: Addr::from(net.addr()).0 }
    }
}

/// Whether `addr` is one of the Service's that only some clients may use.
pub(super) fn is_guarded(service: &Service, addr: Addr) -> bool {
    let named = service.load_balancer_ips.iter().any(|ip| Addr::from(*ip) == addr);
    named && ranges(service, Family::of(addr)).next().is_some()
}

/// The clients that may use the guarded addresses of one family; none: nothing is guarded.
///
/// A load balancer's address is often one of the node's too. Then what the node sends there comes
/// back with that address as its source, so where the node is allowed in, it is allowed as well.
/// The node is known by its primary address alone.
pub(super) fn sources(service: &Service, family: Family, node: &NodeView) -> BTreeSet<Prefix> {
    let own = |ip: &&IpAddr| Family::of((**ip).into()) == family;
    let addresses = || service.load_balancer_ips.iter().filter(own);
    if addresses().next().is_none() {
        return BTreeSet::new();
    }
    let allowed = |ip: &IpAddr| ranges(service, family).any(|range| range.contains(ip));
    let node_allowed = node.primary.iter().any(allowed);
    let returning = addresses().filter(|_| node_allowed).map(|ip| IpNet::from(*ip));
    ranges(service, family).copied().chain(returning).map(Prefix::from).collect()
}

/// The ranges of one family; none if one of them is all of it.
fn ranges(service: &Service, family: Family) -> impl Iterator<Item = &IpNet> {
    let own = move |range: &&IpNet| Family::of(range.addr().into()) == family;
    let own = service.source_ranges.iter().filter(own);
    let is_open = own.clone().any(|range| range.prefix_len() == 0);
    own.filter(move |_| !is_open)
}
