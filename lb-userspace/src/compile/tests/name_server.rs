//! Where the agent's own name server answers in the place of a Service.

use super::{node, port, service};
use crate::compile::{Family, NameServer, NodeView, plan};
use crate::model::{Protocol, Service, ServicePort};
use lb_common::layout::frontend::{Choice, FrontendValue};
use std::collections::BTreeMap;

/// A node whose agent takes the place of the Service, at these addresses.
fn agent(addrs: &[&str]) -> NodeView {
    let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
    NodeView { name_server: Some(NameServer { service: service().name, addrs }), ..node() }
}

fn dns(protocol: Protocol, number: u16) -> Service {
    let ports = vec![ServicePort { protocol, ..port("dns", number) }];
    let mut dual = Service { ports, ..service() };
    dual.cluster_ips.push("fd00::1".parse().unwrap());
    dual
}

/// The families in which the agent answers for a Service.
fn families(service: &Service, node: &NodeView) -> Vec<Family> {
    let plan = plan(service, &BTreeMap::new(), node);
    let own = plan.ports.iter().filter(|port| port.name_server.is_some());
    own.map(|port| port.name.family).collect()
}

#[test]
fn it_stands_for_the_dns_ports_of_the_named_service_in_the_families_that_it_has() {
    let both = agent(&["192.0.2.1:10053", "[fd00::9]:10053"]);
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        assert_eq!(families(&dns(protocol, 53), &both), Family::ALL);
        let v4 = agent(&["192.0.2.1:10053"]);
        assert_eq!(families(&dns(protocol, 53), &v4), [Family::V4]);
    }
    assert_eq!(families(&dns(Protocol::Tcp, 9153), &both), [], "another port");
    assert_eq!(families(&dns(Protocol::Sctp, 53), &both), [], "another protocol");
    assert_eq!(families(&dns(Protocol::Udp, 53), &node()), [], "without the setting");
    let mut other = dns(Protocol::Udp, 53);
    other.name.namespace = "other".to_owned();
    assert_eq!(families(&other, &both), [], "another Service");
}

#[test]
fn it_is_for_clients_inside_at_the_cluster_ip() {
    let plan = plan(&dns(Protocol::Udp, 53), &BTreeMap::new(), &agent(&["192.0.2.1:53"]));
    for frontend in plan.ports.iter().flat_map(|port| &port.frontends) {
        let v4 =
            frontend.key.family == 4 || (frontend.key.family == 0 && frontend.key.addr.is_v4());
        let internal = frontend.kind == FrontendValue::CLUSTER_IP;
        let inside = frontend.inside.flags & Choice::AGENT != 0;
        assert_eq!(inside, internal && v4, "{frontend:?}");
        assert_eq!(frontend.outside.flags & Choice::AGENT, 0, "{frontend:?}");
    }
}
