//! What a load balancer is told about this node (docs/services.md).

use super::{by_name, service, slice, target};
use crate::compile::Family;
use crate::compile::health::{Check, check, desired, listen_addrs};
use crate::model::{EndpointSlice, Node, Service, ServiceType, Snapshot, TrafficPolicy};
use std::collections::BTreeMap;

/// A Service that is asked about, in IPv4.
fn asked() -> Service {
    Service {
        external_policy: TrafficPolicy::Local,
        health_check_node_port: Some(32000),
        ..service()
    }
}

fn dual() -> Service {
    let cluster_ips = ["10.96.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()).to_vec();
    Service { cluster_ips, ..asked() }
}

fn checked(service: &Service, slices: Vec<EndpointSlice>) -> Option<Check> {
    check(service, &by_name(slices), "here")
}

/// The endpoints that are told over IPv4.
#[track_caller]
fn counts(slices: Vec<EndpointSlice>, expect: usize) {
    let found = checked(&asked(), slices).unwrap();
    assert_eq!(found.local_endpoints, BTreeMap::from([(Family::V4, expect)]));
}

#[test]
fn ready_endpoints_of_this_node_count() {
    counts(vec![], 0);
    counts(vec![slice("a", &["10.0.0.1 here", "10.0.0.2 here", "10.0.0.3"])], 2);
    counts(vec![slice("a", &["10.0.0.1 nowhere", "10.0.0.2 here unready"])], 0);
}

#[test]
fn an_endpoint_that_only_serves_while_it_terminates_does_not_count() {
    counts(vec![slice("a", &["10.0.0.1 here terminating", "10.0.0.2 here gone"])], 0);
    counts(vec![slice("a", &["10.0.0.1 here terminating", "10.0.0.2 here"])], 1);
    counts(vec![slice("a", &["10.0.0.1 here published"])], 1);
}

#[test]
fn an_address_counts_once_whatever_its_ports_and_slices() {
    let two_ports = EndpointSlice {
        ports: vec![target("http", 8080), target("https", 8443)],
        ..slice("b", &["10.0.0.1 here", "10.0.0.2 here"])
    };
    counts(vec![slice("a", &["10.0.0.1 here"]), two_ports], 2);
}

#[test]
fn an_endpoint_without_ports_does_not_count() {
    counts(vec![EndpointSlice { ports: vec![], ..slice("a", &["10.0.0.1 here"]) }], 0);
}

#[test]
fn of_two_entries_the_one_that_does_not_terminate_counts_in_any_order() {
    for [first, second] in [["a", "b"], ["b", "a"]] {
        let both = |one, other| vec![slice(first, &[one]), slice(second, &[other])];
        counts(both("10.0.0.1 here", "10.0.0.1 here terminating"), 1);
        counts(both("10.0.0.1 here unready", "10.0.0.1 here published"), 0);
    }
}

#[test]
fn families_are_counted_apart_and_only_those_of_the_service() {
    let slices = || vec![slice("a", &["10.0.0.1 here"]), slice("b", &["fd00::1", "fd00::2"])];
    let found = checked(&dual(), slices()).unwrap();
    assert_eq!(found.local_endpoints, BTreeMap::from([(Family::V4, 1), (Family::V6, 0)]));
    let found = checked(&asked(), vec![slice("b", &["fd00::1 here"])]).unwrap();
    assert_eq!(found.local_endpoints, BTreeMap::from([(Family::V4, 0)]));
}

#[test]
fn only_a_load_balancer_with_the_policy_local_is_asked_about() {
    type Change = fn(&mut Service);
    let cases: [(&str, Change); 7] = [
        ("no port", |s| s.health_check_node_port = None),
        ("policy Cluster", |s| s.external_policy = TrafficPolicy::Cluster),
        ("a NodePort", |s| s.kind = ServiceType::NodePort),
        ("a ClusterIP", |s| s.kind = ServiceType::ClusterIP),
        ("an alias", |s| s.kind = ServiceType::ExternalName),
        ("headless", |s| s.headless = true),
        ("no ClusterIP", |s| s.cluster_ips.clear()),
    ];
    for (what, change) in cases {
        let mut service = asked();
        change(&mut service);
        assert_eq!(checked(&service, vec![slice("a", &["10.0.0.1 here"])]), None, "{what}");
    }
    assert_eq!(checked(&asked(), vec![]).unwrap().port, 32000);
}

#[test]
fn all_services_are_checked_on_the_node_of_the_snapshot() {
    let (web, other) = (asked(), Service { health_check_node_port: None, ..asked() });
    let mut snapshot = Snapshot {
        node: Node { name: "here".to_owned(), ..Node::default() },
        slices: [(web.name.clone(), by_name(vec![slice("a", &["10.0.0.1 here"])]))].into(),
        services: [(web.name.clone(), web.clone())].into(),
    };
    let one = Check { port: 32000, local_endpoints: [(Family::V4, 1)].into() };
    assert_eq!(desired(&snapshot), [(web.name.clone(), one)].into());
    snapshot.services.insert(web.name, other);
    assert_eq!(desired(&snapshot), BTreeMap::new());
}

/// `expect`: where is listened on a node with these addresses.
#[track_caller]
fn listens(ranges: &[&str], expect: &[&str]) {
    let own = ["127.0.0.1", "192.0.2.1", "198.51.100.1", "2001:db8::1", "fe80::1"];
    let ranges: Vec<_> = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let found = listen_addrs(own.iter().map(|ip| ip.parse().unwrap()), &ranges);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
}

#[test]
fn without_ranges_each_family_is_listened_to_as_a_whole() {
    listens(&[], &["0.0.0.0", "::"]);
}

#[test]
fn ranges_choose_addresses_of_their_own_family() {
    listens(&["192.0.2.0/24"], &["192.0.2.1", "::"]);
    listens(&["192.0.2.0/24", "2001:db8::/32"], &["192.0.2.1", "2001:db8::1"]);
    listens(&["10.0.0.0/8"], &["::"]);
}
