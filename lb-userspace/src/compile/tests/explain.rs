//! Every address and every endpoint has a reason.

use super::{by_name, node, port, service, slice, target};
use crate::compile::endpoint::Outcome;
use crate::compile::explain::{EndpointExplanation, Explanation, explanation};
use crate::compile::{Family, NodeView, plan};
use crate::model::{
    EndpointSlice, Obstacle, Protocol, Service, ServiceType, TrafficPolicy, Unusable,
};
use lb_common::wire::Addr;

/// The addresses of the first port, and what became of them.
fn frontends(service: &Service, node: &NodeView) -> Vec<String> {
    let explanation = explanation(service, &by_name(Vec::new()), node);
    let lines = |explanation: &Explanation| {
        let ports = explanation.ports.iter().filter(|port| port.name == "http");
        let frontends = ports.flat_map(|port| &port.frontends);
        frontends
            .map(|one| {
                let address = one.address.map_or_else(|| "node".to_owned(), |ip| ip.to_string());
                let guard = if one.guarded { " (guarded)" } else { "" };
                format!("{} {address}:{}{guard}: {}", one.field, one.port, one.standing.sentence())
            })
            .collect()
    };
    lines(&explanation)
}

#[test]
fn every_address_that_is_programmed_is_said_to_be() {
    let mut guarded = service();
    guarded.source_ranges = vec!["203.0.113.0/25".parse().unwrap()];
    let expect = [
        "clusterIPs 10.96.0.1:80: programmed",
        "externalIPs 192.0.2.1:80: programmed",
        "status.loadBalancer.ingress 198.51.100.1:80 (guarded): programmed",
        "nodePort node:30080: programmed",
    ];
    assert_eq!(frontends(&guarded, &node()), expect);
}

#[test]
fn an_address_that_is_not_programmed_has_a_reason() {
    let mut odd = service();
    odd.external_ips = vec!["198.51.100.1".parse().unwrap(), "fd00::9".parse().unwrap()];
    let node = NodeView { without_node_ports: vec![Family::V4], ..node() };
    let expect = [
        "clusterIPs 10.96.0.1:80: programmed",
        "externalIPs 198.51.100.1:80: programmed",
        "status.loadBalancer.ingress 198.51.100.1:80: the Service names it twice",
        "nodePort node:30080: no address of this node serves node ports in this family",
        "externalIPs fd00::9:80: the Service has no ClusterIP of this family",
    ];
    assert_eq!(frontends(&odd, &node), expect);
}

#[test]
fn a_service_that_is_skipped_says_why_at_every_address() {
    let cases = [
        (Service { headless: true, ..service() }, "the Service is headless"),
        (Service { kind: ServiceType::ExternalName, ..service() }, "an ExternalName is"),
        (Service { cluster_ips: Vec::new(), ..service() }, "the Service has no ClusterIP"),
        (Service { other_proxy: Some("it".into()), ..service() }, "the Service belongs to another"),
    ];
    for (service, expect) in cases {
        let slices = by_name(vec![slice("a", &["10.0.0.1"])]);
        let explanation = explanation(&service, &slices, &node());
        assert!(explanation.skipped.unwrap().sentence().starts_with(expect));
        let found = frontends(&service, &node());
        assert!(found.len() > 1 && found.iter().all(|line| line.contains(expect)), "{found:?}");
        assert!(explanation.ports.iter().all(|port| port.endpoints.is_empty()));
    }
}

/// Every entry of every slice, and what became of it for port "http" in IPv4.
fn endpoints(service: &Service, slices: Vec<EndpointSlice>) -> Vec<String> {
    let explanation = explanation(service, &by_name(slices), &node());
    let port = &explanation.ports[0];
    assert_eq!((port.name.as_str(), port.family), ("http", Family::V4));
    let lines = port.endpoints.iter();
    let at = |outcome: &Outcome| match outcome {
        Outcome::Joined { port, .. } => format!(":{port}"),
        Outcome::NotJoined(_) => String::new(),
    };
    let line = |one: &EndpointExplanation| {
        let EndpointExplanation { slice, address, outcome, .. } = one;
        format!("{slice} {address}{}: {}", at(outcome), outcome.sentence())
    };
    lines.map(line).collect()
}

/// Both sets are asked for.
fn both() -> Service {
    Service { external_policy: TrafficPolicy::Local, ..service() }
}

#[test]
fn every_endpoint_says_whether_it_is_used_for_each_set() {
    let words = [
        "10.0.0.1 here",
        "10.0.0.2",
        "10.0.0.3 here unready",
        "10.0.0.4 here terminating",
        "10.0.0.5 here gone",
    ];
    let expect = [
        "a 10.0.0.1:8080: used",
        "a 10.0.0.2:8080: cluster: used; local: runs on another node",
        "a 10.0.0.3:8080: is not ready",
        "a 10.0.0.4:8080: terminates, and there are ready ones",
        "a 10.0.0.5:8080: terminates and does not serve any more",
    ];
    assert_eq!(endpoints(&both(), vec![slice("a", &words)]), expect);
}

#[test]
fn the_fallback_is_explained_for_each_set_apart() {
    let expect = [
        "a 10.0.0.1:8080: cluster: terminates, and there are ready ones; local: used",
        "a 10.0.0.2:8080: cluster: used; local: runs on another node",
    ];
    let words = ["10.0.0.1 here terminating", "10.0.0.2"];
    assert_eq!(endpoints(&both(), vec![slice("a", &words)]), expect);
}

#[test]
fn who_is_meant_for_elsewhere_says_so() {
    let expect = [
        "a 10.0.0.1:8080: cluster: used; local: no traffic policy asks for it",
        "a 10.0.0.2:8080: cluster: is meant for another node or zone by its topology hints; \
         local: no traffic policy asks for it",
    ];
    let slices = vec![slice("a", &["10.0.0.1 zone=a", "10.0.0.2 zone=b"])];
    assert_eq!(endpoints(&service(), slices.clone()), expect);
    let explanation = explanation(&service(), &by_name(slices), &node());
    let port = &explanation.ports[0];
    assert_eq!(port.node_hints.sentence(), "there are none");
    assert_eq!(port.zone_hints.sentence(), "followed");
}

#[test]
fn an_entry_that_is_no_endpoint_of_the_port_says_why() {
    let mut other = slice("b", &["10.0.0.2"]);
    other.ports = vec![target("https", 8443)];
    let mut udp = slice("c", &["10.0.0.3"]);
    udp.ports[0].protocol = Protocol::Udp;
    let slices = vec![
        slice("a", &["10.0.0.1 terminating", "10.0.0.4"]),
        other,
        udp,
        slice("d", &["fd00::1"]),
        slice("e", &["10.0.0.1"]),
    ];
    let expect = [
        "a 10.0.0.1: it is listed twice, and what slice e says counts",
        "a 10.0.0.4:8080: cluster: used; local: no traffic policy asks for it",
        "b 10.0.0.2: its slice has no port of this name",
        "c 10.0.0.3: the port of this name has another protocol",
        "d fd00::1: its address is of the other family",
        "e 10.0.0.1:8080: cluster: used; local: no traffic policy asks for it",
    ];
    assert_eq!(endpoints(&service(), slices), expect);
}

#[test]
fn what_cannot_be_used_is_named_with_the_object_that_names_it() {
    let invalid = Obstacle::Invalid("\"x\" is not an IP address and is ignored".to_owned());
    let unusable = |field: &str, text: &str, why| Unusable {
        field: field.to_owned(),
        text: text.to_owned(),
        why,
    };
    let ingress = "status.loadBalancer.ingress[1]";
    let service = Service {
        unusable: vec![
            unusable(ingress, "192.0.2.9", Obstacle::ProxyMode),
            unusable(ingress, "lb.example.com", Obstacle::HostNameOnly),
        ],
        ..service()
    };
    let unusable = vec![unusable("endpoints[0].addresses[0]", "x", invalid)];
    let slices = by_name(vec![EndpointSlice { unusable, ..slice("a", &[]) }]);
    let found = explanation(&service, &slices, &node()).unusable;
    let line = |one: &crate::compile::explain::UnusableExplanation| {
        format!("{}: {} {}: {}", one.object, one.field, one.text, one.why.sentence())
    };
    let expect = [
        "Service ns/web: status.loadBalancer.ingress[1] 192.0.2.9: ipMode is Proxy: the load \
         balancer ends connections itself",
        "Service ns/web: status.loadBalancer.ingress[1] lb.example.com: a host name is no address \
         that packets are aimed at",
        "EndpointSlice ns/a: endpoints[0].addresses[0] x: \"x\" is not an IP address and is \
         ignored",
    ];
    assert_eq!(found.iter().map(line).collect::<Vec<_>>(), expect);
}

#[test]
fn the_external_policy_says_why_it_means_nothing() {
    let local = both();
    let said = |service: &Service| {
        let explanation = explanation(service, &by_name(Vec::new()), &node());
        explanation.ports[0].external_policy.sentence()
    };
    assert_eq!(said(&local), "outsiders get the endpoints of this node");
    assert_eq!(said(&service()), "outsiders get the endpoints of all nodes");
    let mut cluster_ip = Service { kind: ServiceType::ClusterIP, ..local.clone() };
    cluster_ip.external_ips.clear();
    assert!(said(&cluster_ip).contains("for this type"));
    let mut bare = local;
    (bare.external_ips, bare.load_balancer_ips) = (Vec::new(), Vec::new());
    bare.ports = vec![port("http", 80)];
    bare.ports[0].node_port = None;
    assert!(said(&bare).contains("no address of this port"));
}

#[test]
fn an_explanation_and_a_plan_are_of_one_mind() {
    let slices = by_name(vec![
        slice("a", &["10.0.0.1 here", "10.0.0.2 zone=a", "10.0.0.3 unready"]),
        slice("b", &["10.0.0.1 terminating", "fd00::1"]),
    ]);
    for service in [service(), both()] {
        let plan = plan(&service, &slices, &node());
        let explanation = explanation(&service, &slices, &node());
        for port in &plan.ports {
            let explained = explanation
                .ports
                .iter()
                .find(|one| one.port_name(&service.name) == port.name)
                .unwrap();
            let joined: Vec<Addr> = explained
                .endpoints
                .iter()
                .filter(|one| matches!(one.outcome, Outcome::Joined { .. }))
                .map(|one| one.address.into())
                .collect();
            let planned: Vec<Addr> = port.backends.keys().map(|key| key.addr).collect();
            assert_eq!(joined, planned);
        }
    }
}
