//! Node ports.

use super::{derived, derived_with};
use crate::source::controllers::Memory;

const CIDR: &[&str] = &["10.96.0.0/16"];

fn service(name: &str, kind: &str, ports: &str, more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: {kind}\n  ports: [{ports}]\n{more}"
    )
}

#[test]
fn types_decide_who_gets_node_ports() {
    let cases = [
        ("ClusterIP", "", false),
        ("NodePort", "", true),
        ("LoadBalancer", "", true),
        ("LoadBalancer", "  allocateLoadBalancerNodePorts: false\n", false),
        ("NodePort", "  allocateLoadBalancerNodePorts: false\n", true),
        ("NodePort", "  clusterIP: None\n", false),
    ];
    for (kind, more, expect) in cases {
        let found = derived(&service("a", kind, "{port: 80}", more), CIDR);
        assert_eq!(found.node_ports("a")[0].is_some(), expect, "{kind} {more}");
        assert!(found.problems.is_empty());
        assert!(found.node_ports("a")[0].is_none_or(|number| (30000..=32767).contains(&number)));
    }
}

#[test]
fn an_explicit_node_port_is_kept_even_if_none_would_be_given() {
    let more = "  allocateLoadBalancerNodePorts: false\n";
    let found = derived(&service("a", "LoadBalancer", "{port: 80, nodePort: 30123}", more), CIDR);
    assert_eq!(found.node_ports("a"), [Some(30123)]);
}

#[test]
fn a_node_port_outside_the_range_is_said_and_not_replaced() {
    let ports = "{name: bad, port: 0}, {name: a, port: 80, nodePort: 80}, {name: b, port: 81}";
    let found = derived(&service("a", "NodePort", ports, ""), CIDR);
    assert!(found.node_ports("a")[0].is_none() && found.node_ports("a")[1].is_some());
    let last = found.said().pop().unwrap();
    assert!(
        last.ends_with("spec.ports[1].nodePort: 80 is not within 30000 to 32767, so it gets none"),
        "{last}"
    );
}

#[test]
fn a_node_port_without_the_type_is_said_and_served() {
    let yaml = service("a", "ClusterIP", "{port: 80, nodePort: 30123}", "")
        + &service("b", "NodePort", "{port: 80, nodePort: 30123}", "");
    let found = derived(&yaml, CIDR);
    assert_eq!((found.node_ports("a"), found.node_ports("b")), (vec![Some(30123)], vec![None]));
    assert!(found.said()[0].contains("spec.ports[0].nodePort: needs the type NodePort"));
}

#[test]
fn a_node_port_of_a_headless_service_is_said_and_ignored() {
    let more = "  clusterIP: None\n";
    let found = derived(&service("a", "ClusterIP", "{port: 80, nodePort: 30123}", more), CIDR);
    assert_eq!(found.node_ports("a"), [None]);
    let expect = "spec.ports[0].nodePort: means nothing without a ClusterIP and is ignored";
    assert!(found.said().len() == 1 && found.said()[0].ends_with(expect), "{:?}", found.said());
}

#[test]
fn of_two_services_with_one_node_port_the_first_by_name_keeps_it() {
    let yaml = service("b", "NodePort", "{port: 80, nodePort: 30123}", "")
        + &service("a", "NodePort", "{port: 80, nodePort: 30123}", "");
    let found = derived(&yaml, CIDR);
    assert_eq!((found.node_ports("a"), found.node_ports("b")), (vec![Some(30123)], vec![None]));
    assert!(found.said()[0].contains("30123 belongs to Service default/a already"));
}

#[test]
fn tcp_and_udp_may_share_a_number() {
    let explicit =
        "{name: t, port: 53, nodePort: 30053}, {name: u, port: 53, protocol: UDP, nodePort: 30053}";
    let found = derived(&service("a", "NodePort", explicit, ""), CIDR);
    assert_eq!((found.node_ports("a"), found.problems.len()), (vec![Some(30053); 2], 0));
    let automatic = "{name: t, port: 53}, {name: u, port: 53, protocol: UDP}";
    let found = derived(&service("a", "NodePort", automatic, ""), CIDR);
    assert_eq!(
        found.node_ports("a")[0],
        found.node_ports("a")[1],
        "one port, one number, where it can be had"
    );
}

#[test]
fn a_health_check_port_is_given_to_load_balancers_with_local_policy_only() {
    let local = "  externalTrafficPolicy: Local\n";
    for (kind, more, expect) in
        [("LoadBalancer", local, true), ("LoadBalancer", "", false), ("NodePort", local, false)]
    {
        let found = derived(&service("a", kind, "{port: 80}", more), CIDR);
        assert_eq!(found.service("a").health_check_node_port.is_some(), expect, "{kind} {more}");
    }
    let explicit = format!("{local}  healthCheckNodePort: 32000\n");
    let found = derived(&service("a", "LoadBalancer", "{port: 80}", &explicit), CIDR);
    assert_eq!(found.service("a").health_check_node_port, Some(32000));
    assert_ne!(found.node_ports("a"), [Some(32000)]);
}

#[test]
fn a_newcomer_never_takes_a_node_port_that_is_in_use() {
    for ports in ["{port: 80, nodePort: 30123}", "{port: 80}"] {
        let mut memory = Memory::default();
        let old = service("z", "NodePort", ports, "");
        let number = derived_with(&old, CIDR, &mut memory).node_ports("z")[0].unwrap();
        let new = service("a", "NodePort", &format!("{{port: 80, nodePort: {number}}}"), "");
        let found = derived_with(&(new + &old), CIDR, &mut memory);
        assert_eq!((found.node_ports("a")[0], found.node_ports("z")[0]), (None, Some(number)));
    }
}

#[test]
fn numbers_are_remembered_and_explicit_ones_stay_when_no_longer_written() {
    let mut memory = Memory::default();
    derived_with(&service("a", "NodePort", "{port: 80, nodePort: 30777}", ""), CIDR, &mut memory);
    let found = derived_with(&service("a", "NodePort", "{port: 80}", ""), CIDR, &mut memory);
    assert_eq!(found.node_ports("a"), [Some(30777)]);
}

#[test]
fn everybody_gets_another_number_until_the_range_is_full() {
    let yaml: String =
        (0..2770).map(|n| service(&format!("s{n}"), "NodePort", "{port: 80}", "")).collect();
    let found = derived(&yaml, CIDR);
    let numbers: std::collections::BTreeSet<_> =
        found.snapshot.services.values().filter_map(|service| service.ports[0].node_port).collect();
    assert_eq!(numbers.len(), 2768);
    assert_eq!(found.problems.len(), 2);
    assert!(found.said()[0].contains("no node port is free"));
}
