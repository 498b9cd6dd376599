//! Which addresses mean a Service, and whom they lead where: SEMANTICS 1 to 8, 14, 15, 18.

use super::{endpoint, node, planned, service, slice};
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
fn the_type_of_a_service_decides_which_addresses_count() {
    let node_port = Service { kind: ServiceType::NodePort, ..service() };
    check(&node_port, Family::V4, &[CLUSTER_IP, EXTERNAL_IP, NODE_PORT]);
    let cluster_ip = Service { kind: ServiceType::ClusterIP, ..service() };
    check(&cluster_ip, Family::V4, &[CLUSTER_IP, EXTERNAL_IP]);
}

#[test]
fn headless_and_external_name_services_have_no_frontend_at_all() {
    check(&Service { headless: true, ..service() }, Family::V4, &[]);
    check(&Service { kind: ServiceType::ExternalName, ..service() }, Family::V4, &[]);
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
        assert_eq!((inside.flags, outside.flags), (0, Choice::LOCAL), "nobody is masqueraded");
    }
}

#[test]
fn a_local_policy_without_a_local_endpoint_drops() {
    let local = Service { external_policy: Local, ..service() };
    for kind in EXTERNAL {
        let (inside, outside) = sides(&local, &["10.0.0.1"], kind);
        assert_eq!((inside.flags, outside.flags), (0, Choice::LOCAL | Choice::DROP));
    }
}

#[test]
fn a_local_policy_without_any_endpoint_refuses() {
    let local = Service { external_policy: Local, ..service() };
    for endpoints in [&[][..], &["10.0.0.1 unready"]] {
        for kind in EXTERNAL {
            assert_eq!(sides(&local, endpoints, kind).1.flags, Choice::LOCAL);
        }
    }
}

#[test]
fn endpoints_elsewhere_that_only_terminate_still_make_a_local_policy_drop() {
    let local = Service { external_policy: Local, ..service() };
    let (_, outside) = sides(&local, &["10.0.0.1 terminating"], FrontendValue::NODE_PORT);
    assert_eq!(outside.flags, Choice::LOCAL | Choice::DROP);
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
    assert_eq!(outside(Family::V4), Choice::LOCAL | Choice::DROP);
    assert_eq!(outside(Family::V6), Choice::LOCAL);
}

/// Whether (inside, outside) are masqueraded at a frontend.
fn snat(node: &NodeView, kind: u8) -> (bool, bool) {
    let mut slice = slice("a", &[]);
    slice.endpoints.push(endpoint("10.0.0.1 here"));
    let plan = plan(&service(), &super::by_name(vec![slice]), node);
    let frontend = plan.ports[0].frontends.iter().find(|frontend| frontend.kind == kind).unwrap();
    let bit = |side: Side| side.flags & Choice::SNAT != 0;
    (bit(frontend.inside), bit(frontend.outside))
}

#[test]
fn a_cluster_ip_masquerades_outsiders() {
    assert_eq!(snat(&node(), FrontendValue::CLUSTER_IP), (false, true));
}

#[test]
fn masquerade_all_adds_pods_at_the_cluster_ip() {
    let all = NodeView { masquerade_all: true, ..node() };
    assert_eq!(snat(&all, FrontendValue::CLUSTER_IP), (true, true));
}

#[test]
fn nobody_is_masqueraded_at_a_cluster_ip_if_pods_cannot_be_told() {
    let blind = NodeView { can_tell_pods: false, ..node() };
    assert_eq!(snat(&blind, FrontendValue::CLUSTER_IP), (false, false));
}

#[test]
fn external_frontends_masquerade_everybody() {
    for kind in EXTERNAL {
        assert_eq!(snat(&node(), kind), (true, true));
    }
}

#[test]
fn minimal_masquerading_leaves_it_to_the_way_back() {
    let minimal = NodeView { snat: SnatMode::Minimal, masquerade_all: true, ..node() };
    for kind in [FrontendValue::CLUSTER_IP].into_iter().chain(EXTERNAL) {
        assert_eq!(snat(&minimal, kind), (false, false));
    }
}
