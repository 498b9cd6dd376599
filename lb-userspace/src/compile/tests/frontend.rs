//! Which addresses mean a Service, and whom they lead where (docs/services.md).

use super::{node, planned, service, slice};
use crate::compile::endpoint::Uses;
use crate::compile::frontend::uses;
use crate::compile::node::SnatMode;
use crate::compile::{Family, NodeView, Side, plan};
use crate::model::TrafficPolicy::{Cluster, Local};
use crate::model::{Service, ServiceType};
use lb_common::layout::frontend::{Choice, FrontendValue};
use std::collections::BTreeMap;

/// `expect`: kind and address of each frontend; a node port has its number.
#[track_caller]
fn check(service: &Service, family: Family, expect: &[(u8, &str)]) {
    let plan = plan(service, &BTreeMap::new(), &node());
    let ports = plan.ports.iter().filter(|port| port.name.family == family);
    let found: Vec<(u8, String)> = ports
        .flat_map(|port| &port.frontends)
        .map(|frontend| match frontend.kind {
            FrontendValue::NODE_PORT => (frontend.kind, frontend.key.port.to_string()),
            kind => (kind, format!("{} {}", frontend.key.addr, frontend.key.port)),
        })
        .collect();
    let expect: Vec<_> = expect.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
    assert_eq!(found, expect);
}

const CLUSTER_IP: (u8, &str) = (FrontendValue::CLUSTER_IP, "10.96.0.1 80");
const EXTERNAL_IP: (u8, &str) = (FrontendValue::EXTERNAL_IP, "192.0.2.1 80");
const LOAD_BALANCER: (u8, &str) = (FrontendValue::LOAD_BALANCER, "198.51.100.1 80");
const NODE_PORT: (u8, &str) = (FrontendValue::NODE_PORT, "30080");

#[test]
fn every_kind_of_address_leads_to_a_load_balancer_service() {
    check(&service(), Family::V4, &[CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT]);
}

#[test]
fn every_address_counts_whatever_the_type_says() {
    for kind in [ServiceType::ClusterIP, ServiceType::NodePort, ServiceType::LoadBalancer] {
        let all = [CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT];
        check(&Service { kind, ..service() }, Family::V4, &all);
    }
}

#[test]
fn services_of_dns_and_of_other_proxies_have_no_frontend_at_all() {
    check(&Service { headless: true, ..service() }, Family::V4, &[]);
    check(&Service { kind: ServiceType::ExternalName, ..service() }, Family::V4, &[]);
    check(&Service { cluster_ips: Vec::new(), ..service() }, Family::V4, &[]);
    check(&Service { other_proxy: Some("it".to_owned()), ..service() }, Family::V4, &[]);
}

#[test]
fn a_family_without_a_cluster_ip_is_not_served() {
    let external_ips = vec!["fd00::9".parse().unwrap()];
    check(&Service { external_ips, ..service() }, Family::V6, &[]);
}

#[test]
fn each_family_has_its_own_addresses() {
    let mut dual = service();
    dual.cluster_ips.push("fd00::1".parse().unwrap());
    dual.external_ips.push("fd00::9".parse().unwrap());
    check(&dual, Family::V4, &[CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT]);
    let v6 = [
        (FrontendValue::CLUSTER_IP, "fd00::1 80"),
        (FrontendValue::EXTERNAL_IP, "fd00::9 80"),
        NODE_PORT,
    ];
    check(&dual, Family::V6, &v6);
}

#[test]
fn an_address_that_is_named_twice_is_one_frontend() {
    let load_balancer_ips = service().external_ips;
    check(
        &Service { load_balancer_ips, ..service() },
        Family::V4,
        &[CLUSTER_IP, EXTERNAL_IP, NODE_PORT],
    );
}

/// The sides of the frontend of a kind.
fn sides(service: &Service, endpoints: &[&str], kind: u8) -> (Side, Side) {
    let port = planned(service, vec![slice("a", endpoints)]);
    let frontend = port.frontends.iter().find(|frontend| frontend.kind == kind).unwrap();
    (frontend.inside, frontend.outside)
}

const EXTERNAL: [u8; 3] =
    [FrontendValue::EXTERNAL_IP, FrontendValue::LOAD_BALANCER, FrontendValue::NODE_PORT];

#[test]
fn the_internal_policy_governs_the_cluster_ip_only() {
    let local = Service { internal_policy: Local, ..service() };
    let (inside, outside) = sides(&local, &["10.0.0.1 here"], FrontendValue::CLUSTER_IP);
    assert_eq!((inside.policy, outside.policy), (Local, Local));
    for kind in EXTERNAL {
        let (inside, outside) = sides(&local, &["10.0.0.1 here"], kind);
        assert_eq!((inside.policy, outside.policy), (Cluster, Cluster));
    }
}

#[test]
fn the_external_policy_binds_outsiders_only() {
    let local = Service { external_policy: Local, ..service() };
    let (inside, outside) = sides(&local, &["10.0.0.1 here"], FrontendValue::CLUSTER_IP);
    assert_eq!((inside.policy, outside.policy), (Cluster, Cluster));
    for kind in EXTERNAL {
        let (inside, outside) = sides(&local, &["10.0.0.1 here"], kind);
        assert_eq!((inside.policy, outside.policy), (Cluster, Local));
        assert_eq!(inside.flags, Choice::KEEP, "nobody is masqueraded");
        assert_eq!(outside.flags, Choice::KEEP | Choice::LOCAL);
    }
}

#[test]
fn a_local_policy_without_a_local_endpoint_drops() {
    let local = Service { external_policy: Local, ..service() };
    for kind in EXTERNAL {
        let (inside, outside) = sides(&local, &["10.0.0.1"], kind);
        assert_eq!(inside.flags, Choice::KEEP);
        assert_eq!(outside.flags, Choice::KEEP | Choice::LOCAL | Choice::DROP);
    }
}

#[test]
fn a_local_policy_without_any_endpoint_refuses() {
    let local = Service { external_policy: Local, ..service() };
    for endpoints in [&[][..], &["10.0.0.1 unready"]] {
        for kind in EXTERNAL {
            assert_eq!(sides(&local, endpoints, kind).1.flags, Choice::KEEP | Choice::LOCAL);
        }
    }
}

#[test]
fn endpoints_elsewhere_that_only_terminate_still_make_a_local_policy_drop() {
    let local = Service { external_policy: Local, ..service() };
    let (_, outside) = sides(&local, &["10.0.0.1 terminating"], FrontendValue::NODE_PORT);
    assert_eq!(outside.flags, Choice::KEEP | Choice::LOCAL | Choice::DROP);
}

#[test]
fn a_family_without_endpoints_refuses_by_itself() {
    let mut dual = Service { external_policy: Local, ..service() };
    dual.cluster_ips.push("fd00::1".parse().unwrap());
    let slices = super::by_name(vec![slice("a", &["10.0.0.1"])]);
    let plan = plan(&dual, &slices, &node());
    let outside = |family: Family| {
        let port = plan.ports.iter().find(|port| port.name.family == family).unwrap();
        port.frontends.iter().find(|f| f.kind == FrontendValue::NODE_PORT).unwrap().outside.flags
    };
    assert_eq!(outside(Family::V4), Choice::KEEP | Choice::LOCAL | Choice::DROP);
    assert_eq!(outside(Family::V6), Choice::KEEP | Choice::LOCAL);
}

/// Who is masqueraded at a frontend: the word for inside, and for outside.
fn snat(service: &Service, node: &NodeView, kind: u8) -> [&'static str; 2] {
    let slices = super::by_name(vec![slice("a", &["10.0.0.1 here"])]);
    let plan = plan(service, &slices, node);
    let frontend = plan.ports[0].frontends.iter().find(|frontend| frontend.kind == kind).unwrap();
    [frontend.inside, frontend.outside].map(|side| {
        match side.flags & (Choice::SNAT | Choice::KEEP) {
            0 => "as needed",
            Choice::SNAT => "snat",
            Choice::KEEP => "keep",
            _ => "both",
        }
    })
}

#[test]
fn always_masquerades_where_kube_proxy_does_and_nowhere_else() {
    let (told, all) = (node(), NodeView { masquerade_all: true, ..node() });
    let blind = NodeView { can_tell_pods: false, ..node() };
    let blind_all = NodeView { masquerade_all: true, ..blind.clone() };
    let views = [
        (told, ["keep", "snat"]),
        (all, ["snat", "snat"]),
        (blind, ["keep", "keep"]),
        (blind_all, ["snat", "snat"]),
    ];
    for (view, at_cluster_ip) in views {
        let local = Service { external_policy: Local, internal_policy: Local, ..service() };
        assert_eq!(snat(&service(), &view, FrontendValue::CLUSTER_IP), at_cluster_ip);
        assert_eq!(snat(&local, &view, FrontendValue::CLUSTER_IP), at_cluster_ip);
        for kind in EXTERNAL {
            assert_eq!(snat(&service(), &view, kind), ["snat", "snat"]);
            assert_eq!(snat(&local, &view, kind), ["keep", "keep"]);
        }
    }
}

#[test]
fn minimal_masquerading_leaves_it_to_the_way_back() {
    let minimal = NodeView { snat: SnatMode::Minimal, ..node() };
    let local = Service { external_policy: Local, ..service() };
    for kind in [FrontendValue::CLUSTER_IP].into_iter().chain(EXTERNAL) {
        assert_eq!(snat(&service(), &minimal, kind), ["as needed", "as needed"]);
        assert_eq!(snat(&local, &minimal, kind), ["as needed", "as needed"]);
    }
}

/// A Service of this type with one port; words: `external-ip`, `load-balancer-ip`, `node-port` for
/// what it has besides its `ClusterIP`, `internal` and `external` for policies that are `Local`.
fn with(kind: ServiceType, words: &str) -> Service {
    let has = |word: &str| words.split(' ').any(|other| other == word);
    let policy = |word| if has(word) { Local } else { Cluster };
    let mut service = Service {
        kind,
        external_policy: policy("external"),
        internal_policy: policy("internal"),
        ..service()
    };
    service.external_ips.retain(|_| has("external-ip"));
    service.load_balancer_ips.retain(|_| has("load-balancer-ip"));
    service.ports[0].node_port = has("node-port").then_some(30080);
    service
}

#[test]
fn which_sets_of_endpoints_are_used_follows_from_policies_type_and_addresses() {
    use ServiceType::{ClusterIP, LoadBalancer, NodePort};
    // The last words: the sets that are used.
    let cases = [
        (ClusterIP, "", "cluster"),
        (ClusterIP, "internal", "local"),
        (ClusterIP, "external", "cluster"),
        (ClusterIP, "external external-ip", "cluster local"),
        (ClusterIP, "internal external-ip", "cluster local"),
        (ClusterIP, "external node-port", "cluster"),
        (ClusterIP, "internal node-port", "cluster local"),
        (ClusterIP, "external load-balancer-ip", "cluster"),
        (NodePort, "external node-port", "cluster local"),
        (NodePort, "node-port", "cluster"),
        (LoadBalancer, "external", "cluster"),
        (LoadBalancer, "internal external", "local"),
        (LoadBalancer, "external load-balancer-ip", "cluster local"),
        (LoadBalancer, "internal external load-balancer-ip node-port", "cluster local"),
    ];
    for (kind, words, expect) in cases {
        let service = with(kind, words);
        let Uses { cluster, local } = uses(&service, &service.ports[0], Family::V4);
        let found = [(cluster, "cluster"), (local, "local")];
        let found: Vec<_> = found.iter().filter(|(used, _)| *used).map(|(_, set)| *set).collect();
        assert_eq!(found.join(" "), expect, "{kind:?} {words}");
    }
}

#[test]
fn addresses_of_the_other_family_expose_nothing() {
    let mut service = with(ServiceType::LoadBalancer, "internal external");
    service.cluster_ips.push("fd00::1".parse().unwrap());
    service.load_balancer_ips.push("fd00::9".parse().unwrap());
    let used = |family| uses(&service, &service.ports[0], family).cluster;
    assert_eq!((used(Family::V4), used(Family::V6)), (false, true));
}

#[test]
fn the_external_policy_of_a_service_that_outsiders_do_not_reach_binds_nobody() {
    let service = with(ServiceType::ClusterIP, "external node-port");
    let (_, outside) = sides(&service, &["10.0.0.1"], FrontendValue::NODE_PORT);
    assert_eq!((outside.policy, outside.flags), (Cluster, Choice::SNAT));
}
