//! Addresses of the node that serve node ports.

use crate::compile::node::node_port_addrs;
use crate::simulate::expect::facts::{Expectations, NodePortAddresses, PerFamily};
use crate::simulate::report::{Check, json};
use crate::simulate::world::World;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that no range of a scenario but `/0` can mean: documentation (RFC 5737, RFC 3849) and
/// the last of all.
const STRANGERS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77)),
    IpAddr::V4(Ipv4Addr::new(223, 255, 255, 254)),
    IpAddr::V6(Ipv6Addr::new(0x3fff, 0xfff, 0xffff, 0, 0, 0, 0, 0x77)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0x77)),
];

/// `expectNodePortAddresses`.
///
/// The file lists what the ranges mean; loopback addresses serve only by option, and IPv6 loopback
/// never does, so they are left out where the node has no use for them.
pub(super) fn addresses(expected: &Expectations, world: &World<'_>) -> Option<Check> {
    let expected = expected.node_port_addresses.as_ref()?;
    let actual = PerFamily { v4: actual(world, true), v6: actual(world, false) };
    let pairs = [(&expected.v4, &actual.v4), (&expected.v6, &actual.v6)];
    let same = |(wanted, held): &(&Option<NodePortAddresses>, &NodePortAddresses)| {
        wanted.as_ref().is_none_or(|wanted| {
            wanted.match_all == held.match_all && useful(world, &wanted.ips) == held.ips
        })
    };
    let ok = pairs.iter().all(same);
    Some(Check::of("expectNodePortAddresses", json(expected), json(&actual), ok))
}

fn useful(world: &World<'_>, ips: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let localhost = |ip: &IpAddr| ip.is_ipv4() && world.node.localhost_node_ports;
    ips.iter().filter(|ip| !ip.is_loopback() || localhost(ip)).copied().collect()
}

fn actual(world: &World<'_>, v4: bool) -> NodePortAddresses {
    let ranges = world.node.port_ranges();
    let of_family = |ip: &IpAddr| ip.is_ipv4() == v4;
    let is_named =
        |ip: &IpAddr| ranges.iter().any(|range| range.prefix_len() != 0 && range.contains(ip));
    let stranger = STRANGERS.into_iter().find(|ip| of_family(ip) && !is_named(ip));
    // Loopback serves by option, whether the file lists it as a link's address or not.
    let is_listed =
        |ip: &IpAddr| !ip.is_loopback() || world.node.interface_addrs().any(|own| own == *ip);
    let served = world.own().addrs.iter().map(|addr| addr.to_ip());
    NodePortAddresses {
        match_all: !node_port_addrs(stranger.into_iter(), &ranges).is_empty(),
        ips: served.filter(of_family).filter(is_listed).collect(),
    }
}
