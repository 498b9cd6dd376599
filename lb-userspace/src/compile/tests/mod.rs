//! The rules of kube-proxy, sentence by sentence.

mod endpoint;
mod explain;
mod frontend;
mod guard;
mod health;
mod name_server;
mod node;
mod plan;

use super::{Family, NodeView, PortPlan};
use crate::compile::node::SnatMode;
use crate::model::{
    AffinityScope, Algorithm, Endpoint, EndpointPort, EndpointSlice, ObjectName, Protocol, Service,
    ServicePort, ServiceType, TargetPort, TrafficPolicy,
};
use std::collections::BTreeMap;

/// A Service of all kinds of addresses in IPv4, with one port.
fn service() -> Service {
    Service {
        uid: String::new(),
        name: ObjectName::new("ns", "web"),
        kind: ServiceType::LoadBalancer,
        cluster_ips: vec!["10.96.0.1".parse().unwrap()],
        headless: false,
        external_name: None,
        external_ips: vec!["192.0.2.1".parse().unwrap()],
        load_balancer_ips: vec!["198.51.100.1".parse().unwrap()],
        source_ranges: Vec::new(),
        unusable: Vec::new(),
        ports: vec![port("http", 80)],
        affinity_timeout_s: None,
        affinity_scope: AffinityScope::Port,
        external_policy: TrafficPolicy::Cluster,
        internal_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        selector: BTreeMap::new(),
        publish_not_ready: false,
        algorithm: Algorithm::Random,
        other_proxy: None,
        created_s: 0,
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: name.to_owned(),
        protocol: Protocol::Tcp,
        port: number,
        target_port: TargetPort::Number(number),
        node_port: Some(30000 + number),
    }
}

/// The node "here" in zone "a", in a cluster whose pods can be told.
fn node() -> NodeView {
    NodeView {
        name: "here".to_owned(),
        zone: Some("a".to_owned()),
        snat: SnatMode::Always,
        can_tell_pods: true,
        ..NodeView::default()
    }
}

/// A ready endpoint on another node. With words: `here`, `unready`, `terminating` (serving),
/// `gone` (terminating, not serving), `zone=..` and `node=..` for hints.
fn endpoint(words: &str) -> Endpoint {
    let mut words = words.split(' ');
    let mut endpoint = Endpoint {
        address: words.next().unwrap().parse().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        node: Some("there".to_owned()),
        zone: None,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        hostname: None,
        pod: None,
        unready: None,
    };
    for word in words {
        let e = &mut endpoint;
        match word.split_once('=').unwrap_or((word, "")) {
            ("here", _) => e.node = Some("here".to_owned()),
            ("nowhere", _) => e.node = None,
            ("unready", _) => (e.ready, e.serving) = (false, false),
            ("terminating", _) => (e.ready, e.serving, e.terminating) = (false, true, true),
            ("gone", _) => (e.ready, e.serving, e.terminating) = (false, false, true),
            ("published", _) => (e.ready, e.serving, e.terminating) = (true, false, true),
            ("zone", zone) => e.hint_zones.push(zone.to_owned()),
            ("node", node) => e.hint_nodes.push(node.to_owned()),
            (other, _) => panic!("{other} is no word"),
        }
    }
    endpoint
}

/// A slice of "http" at 8080.
fn slice(name: &str, endpoints: &[&str]) -> EndpointSlice {
    EndpointSlice {
        name: ObjectName::new("ns", name),
        service: "web".to_owned(),
        ports: vec![target("http", 8080)],
        endpoints: endpoints.iter().map(|words| endpoint(words)).collect(),
        unusable: Vec::new(),
        trigger: None,
    }
}

fn target(name: &str, port: u16) -> EndpointPort {
    EndpointPort { name: name.to_owned(), protocol: Protocol::Tcp, port }
}

fn by_name(slices: Vec<EndpointSlice>) -> BTreeMap<String, EndpointSlice> {
    slices.into_iter().map(|slice| (slice.name.name.clone(), slice)).collect()
}

/// The plan of the only port in IPv4.
fn planned(service: &Service, slices: Vec<EndpointSlice>) -> PortPlan {
    let mut plan = super::plan(service, &by_name(slices), &node());
    plan.ports.retain(|port| port.name.family == Family::V4);
    assert_eq!(plan.ports.len(), 1);
    plan.ports.remove(0)
}
