//! Who may use load-balancer addresses (docs/services.md).

use super::{node, planned, service};
use crate::compile::{Family, NodeView, PortPlan, Prefix, plan};
use crate::model::Service;
use ipnet::IpNet;
use lb_common::layout::frontend::FrontendValue;
use std::collections::BTreeMap;

/// The Service with these ranges, in both families.
fn guarded(ranges: &[&str]) -> Service {
    let mut service = service();
    service.source_ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    service.cluster_ips.push("fd00::1".parse().unwrap());
    service.load_balancer_ips.push("2001:db8::1".parse().unwrap());
    service
}

/// The clients that are let in, by family.
fn sources(service: &Service, node: &NodeView) -> [Vec<Prefix>; 2] {
    let plan = plan(service, &BTreeMap::new(), node);
    let of = |family| plan.ports.iter().find(|port| port.name.family == family).unwrap();
    Family::ALL.map(|family| of(family).sources.iter().copied().collect())
}

/// `expect`: ranges that are let in, IPv4 and IPv6; none: everybody.
#[track_caller]
fn check(ranges: &[&str], primary: &[&str], expect: [&[&str]; 2]) {
    let primary = primary.iter().map(|addr| addr.parse().unwrap()).collect();
    let node = NodeView { primary, ..node() };
    let wanted = |ranges: &[&str]| {
        let parsed = ranges.iter().map(|range| Prefix::from(range.parse::<IpNet>().unwrap()));
        let mut prefixes: Vec<Prefix> = parsed.collect();
        prefixes.sort();
        prefixes
    };
    assert_eq!(sources(&guarded(ranges), &node), expect.map(wanted));
}

#[test]
fn ranges_count_for_their_own_family() {
    check(&["203.0.113.0/25", "fd00:2::/64"], &[], [&["203.0.113.0/25"], &["fd00:2::/64"]]);
    check(&["203.0.113.0/25"], &[], [&["203.0.113.0/25"], &[]]);
    check(&["fd00:2::/64"], &[], [&[], &["fd00:2::/64"]]);
    check(&[], &[], [&[], &[]]);
}

#[test]
fn all_of_a_family_turns_the_guard_off() {
    check(&["203.0.113.0/25", "0.0.0.0/0", "fd00:2::/64"], &[], [&[], &["fd00:2::/64"]]);
    check(&["203.0.113.0/25", "::/0"], &[], [&["203.0.113.0/25"], &[]]);
}

#[test]
fn where_the_node_is_let_in_the_own_addresses_are_sources_too() {
    let ranges = ["192.0.2.0/24", "203.0.113.0/25"];
    let with_own = ["192.0.2.0/24", "203.0.113.0/25", "198.51.100.1/32"];
    check(&ranges, &["192.0.2.7", "2001:db8::7"], [&with_own, &[]]);
    check(&ranges, &["192.0.3.7"], [&ranges, &[]]);
    let v6 = ["2001:db8::/64", "2001:db8::1/128"];
    check(&["2001:db8::/64"], &["192.0.2.7", "2001:db8::7"], [&[], &v6]);
}

/// The kinds of the frontends that are guarded.
fn kinds(port: &PortPlan) -> Vec<u8> {
    let guarded = port.frontends.iter().filter(|frontend| frontend.guarded);
    guarded.map(|frontend| frontend.kind).collect()
}

#[test]
fn only_load_balancer_addresses_are_guarded_with_endpoints_or_without() {
    let guarded = guarded(&["203.0.113.0/25"]);
    for slices in [Vec::new(), vec![super::slice("a", &["10.0.0.1"])]] {
        assert_eq!(kinds(&planned(&guarded, slices)), [FrontendValue::LOAD_BALANCER]);
    }
    assert!(kinds(&planned(&service(), Vec::new())).is_empty());
}

#[test]
fn an_external_address_that_is_the_load_balancers_too_is_guarded() {
    let mut guarded = guarded(&["203.0.113.0/25"]);
    guarded.external_ips.clone_from(&guarded.load_balancer_ips);
    assert_eq!(kinds(&planned(&guarded, Vec::new())), [FrontendValue::EXTERNAL_IP]);
}

#[test]
fn ranges_without_an_address_of_their_family_guard_nothing() {
    let mut guarded = guarded(&["203.0.113.0/25", "fd00:2::/64"]);
    guarded.load_balancer_ips.retain(std::net::IpAddr::is_ipv6);
    assert!(sources(&guarded, &node())[0].is_empty());
}
