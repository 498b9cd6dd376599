//! Which addresses serve node ports (docs/services.md).

use crate::compile::node::{NodePortAddresses, NodePorts, node_port_addrs};

#[track_caller]
fn check(addrs: &[&str], ranges: &[&str], expect: &[&str]) {
    let addrs = addrs.iter().map(|addr| addr.parse().unwrap());
    let ranges: Vec<_> = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let found: Vec<String> =
        node_port_addrs(addrs, &ranges).iter().map(ToString::to_string).collect();
    assert_eq!(found, expect);
}

#[test]
fn without_ranges_every_address_serves() {
    check(&["192.0.2.1", "2001:db8::1"], &[], &["192.0.2.1", "2001:db8::1"]);
}

#[test]
fn ranges_choose_among_the_addresses_of_their_family() {
    check(&["192.0.2.1", "198.51.100.1"], &["192.0.2.0/24"], &["192.0.2.1"]);
    check(&["192.0.2.1", "2001:db8::1"], &["198.51.100.0/24"], &["2001:db8::1"]);
}

#[test]
fn the_loopback_of_ipv4_can_serve_and_that_of_ipv6_never_does() {
    check(&["127.0.0.1", "::1"], &["127.0.0.0/8", "::/0"], &["127.0.0.1"]);
}

#[test]
fn link_local_and_multicast_addresses_never_serve() {
    check(&["fe80::1", "ff02::1", "224.0.0.1"], &[], &[]);
}

const OWN: [&str; 5] = ["192.0.2.1", "198.51.100.1", "127.0.0.1", "2001:db8::1", "::1"];

/// `expect`: which of the node's own addresses serve; its primary ones are the first of each
/// family.
#[track_caller]
fn serving(within: NodePortAddresses, localhost: bool, expect: &[&str]) {
    let own = OWN.iter().map(|addr| addr.parse().unwrap());
    let primary = ["192.0.2.1", "2001:db8::1"].map(|addr| addr.parse().unwrap());
    let found = NodePorts { within, localhost }.addrs(own, &primary);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
}

fn ranges(ranges: &[&str]) -> NodePortAddresses {
    NodePortAddresses::Ranges(ranges.iter().map(|range| range.parse().unwrap()).collect())
}

#[test]
fn localhost_serves_if_it_may_and_lies_in_the_ranges() {
    let (v4, v6) = (["127.0.0.1", "192.0.2.1", "198.51.100.1"], "2001:db8::1");
    serving(ranges(&[]), true, &[v4[0], v4[1], v4[2], v6]);
    serving(ranges(&[]), false, &[v4[1], v4[2], v6]);
    serving(ranges(&["127.0.0.0/8"]), true, &[v4[0], v6]);
    serving(ranges(&["127.0.0.0/8"]), false, &[v6]);
    serving(ranges(&["192.0.2.0/24"]), true, &[v4[1], v6]);
}

#[test]
fn primary_means_the_first_address_of_each_family_and_not_localhost() {
    serving(NodePortAddresses::Primary, true, &["192.0.2.1", "2001:db8::1"]);
}
