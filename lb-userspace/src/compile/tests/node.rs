//! Which addresses serve node ports: SEMANTICS 15.

use crate::compile::node::node_port_addrs;

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
