//! What a plan says besides endpoints and frontends.

use super::{by_name, node, planned, port, service, slice};
use crate::compile::plan;
use crate::model::{AffinityScope, Algorithm, Service, ServiceType, TrafficPolicy};
use lb_common::layout::service::ServiceValue;
use std::collections::BTreeMap;

#[test]
fn every_port_and_family_is_planned_apart() {
    let mut dual = service();
    dual.ports.push(port("https", 443));
    dual.cluster_ips.push("fd00::1".parse().unwrap());
    let plan = plan(&dual, &by_name(vec![slice("a", &["10.0.0.1"])]), &node());
    let found: Vec<String> =
        plan.ports.iter().map(|p| format!("{}: {}", p.name, p.cluster.len())).collect();
    let expect = [
        "ns/web:http/TCP (IPv4): 1",
        "ns/web:http/TCP (IPv6): 0",
        "ns/web:https/TCP (IPv4): 0",
        "ns/web:https/TCP (IPv6): 0",
    ];
    assert_eq!(found, expect);
}

#[test]
fn affinity_algorithm_and_age_come_from_the_service() {
    let special = Service {
        affinity_timeout_s: Some(5),
        algorithm: Algorithm::Maglev,
        created_s: 7,
        ..service()
    };
    let port = planned(&special, Vec::new());
    assert_eq!((port.affinity_timeout_s, port.algorithm), (Some(5), Algorithm::Maglev));
    assert_eq!(plan(&special, &BTreeMap::new(), &node()).created_s, 7);
}

#[test]
fn the_external_policy_counts_only_where_outsiders_can_come() {
    let flags = |kind, external_ips| {
        let external_policy = TrafficPolicy::Local;
        planned(&Service { kind, external_ips, external_policy, ..service() }, Vec::new())
            .info
            .flags
    };
    let ips = service().external_ips;
    assert_eq!(flags(ServiceType::ClusterIP, Vec::new()), 0);
    assert_eq!(flags(ServiceType::ClusterIP, ips), ServiceValue::EXTERNAL_LOCAL);
    assert_eq!(flags(ServiceType::NodePort, Vec::new()), ServiceValue::EXTERNAL_LOCAL);
}

#[test]
fn affinity_over_all_ports_needs_affinity() {
    let affinity_scope = AffinityScope::Service;
    let shared = |affinity_timeout_s| {
        planned(&Service { affinity_timeout_s, affinity_scope, ..service() }, Vec::new())
            .shared_affinity
    };
    assert!(shared(Some(5)) && !shared(None));
}
