//! What an address and port mean, and to whom.

use crate::case::{Case, PORT};
use crate::frame::Frame;
use crate::rig::{LINK, Rig, each, each_where};
use crate::tables::{ELSEWHERE, HERE, leading_to};
use lb_common::layout::address::AddressValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::node::{CidrKey, LinkValue};
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::reconcile::Edit;
use std::net::SocketAddr;

const NODE_PORT: u16 = 30_080;

#[test]
fn a_packet_to_a_stranger_is_not_ours() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.passes(&case.opening(case.pod(20_000), case.stranger()));
        rig.passes(&case.opening(case.pod(20_000), case.backend(1)));
    });
}

#[test]
fn another_port_of_a_service_address_is_not_ours() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.passes(&case.opening(case.pod(20_000), SocketAddr::new(case.vip().ip(), PORT + 1)));
    });
}

#[test]
fn the_port_of_another_protocol_is_not_ours() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let (pod, vip) = (case.pod(20_000), case.vip());
        let other = if case.is_tcp() { Frame::datagram(pod, vip) } else { Frame::syn(pod, vip) };
        rig.passes(&other);
    });
}

#[test]
fn nobody_connects_from_port_0() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.passes(&case.opening(case.pod(0), case.vip()));
    });
}

#[test]
fn a_node_port_is_served_at_the_nodes_addresses() {
    each(|rig| {
        serve_node_port(rig);
        let case = rig.case;
        let node = SocketAddr::new(case.node(), NODE_PORT);
        assert_eq!(rig.chosen(&case.opening(case.pod(20_000), node)), case.backend(1));
        rig.edit(Edit::Address(case.node().into(), 0));
        rig.passes(&case.opening(case.pod(40_001), node));
    });
}

#[test]
fn a_node_port_means_nothing_on_a_service_address() {
    each(|rig| {
        serve_node_port(rig);
        let case = rig.case;
        let there = SocketAddr::new(case.vip().ip(), NODE_PORT);
        rig.passes(&case.opening(case.pod(20_000), there));
    });
}

#[test]
fn a_service_port_means_nothing_on_a_node_address() {
    each(|rig| {
        serve_node_port(rig);
        let case = rig.case;
        rig.passes(&case.opening(case.pod(20_000), SocketAddr::new(case.node(), PORT)));
    });
}

#[test]
fn a_node_port_belongs_to_one_family() {
    each(|rig| {
        serve_node_port(rig);
        let case = rig.case;
        let (v6, proto) = (!case.v6, case.proto);
        let twin = Case::all().find(|c| c.v6 == v6 && c.proto == proto).unwrap();
        rig.edit(Edit::Address(twin.node().into(), AddressValue::NODE_PORTS));
        let there = SocketAddr::new(twin.node(), NODE_PORT);
        rig.passes(&case.opening(twin.pod(20_000), there));
    });
}

/// A Service with an address of its own and a node port.
fn serve_node_port(rig: &mut Rig) {
    rig.serve(1);
    let case = rig.case;
    let choice = rig.range(0, &[1]);
    let value = FrontendValue { kind: FrontendValue::NODE_PORT, ..leading_to(choice) };
    rig.edit(Edit::Address(case.node().into(), AddressValue::NODE_PORTS));
    rig.edit(Edit::Frontend(node_port(case), Some(value)));
}

fn node_port(case: Case) -> FrontendKey {
    FrontendKey::node_port(Port::new(NODE_PORT), case.proto, case.v6)
}

/// Backend 1 for those inside, backend 2 for everybody else.
fn serve_apart(rig: &mut Rig) {
    rig.backend(1, rig.case.backend(1), HERE);
    rig.backend(2, rig.case.backend(2), HERE);
    let (inside, outside) = (rig.range(0, &[1]), rig.range(1, &[2]));
    let value = FrontendValue { outside, ..leading_to(inside) };
    rig.frontend(rig.case.vip(), value);
}

#[test]
fn a_pods_link_makes_its_client_an_insider() {
    each(|rig| {
        serve_apart(rig);
        let case = rig.case;
        let asked = case.opening(case.on_uplink(1, 20_000), case.vip());
        assert_eq!(rig.chosen(&asked), case.backend(1));
    });
}

#[test]
fn a_client_behind_an_uplink_is_an_outsider() {
    each(|rig| {
        serve_apart(rig);
        let case = rig.case;
        rig.link(LINK, LinkValue::UPLINK, None);
        let asked = case.opening(case.on_uplink(1, 20_000), case.vip());
        assert_eq!(rig.chosen(&asked), case.backend(2));
    });
}

#[test]
fn a_client_behind_an_unknown_link_is_an_outsider() {
    each(|rig| {
        serve_apart(rig);
        let case = rig.case;
        rig.edit(Edit::Link(LINK, None));
        let asked = case.opening(case.on_uplink(1, 20_000), case.vip());
        assert_eq!(rig.chosen(&asked), case.backend(2));
    });
}

#[test]
fn an_address_of_the_cluster_is_an_insiders_behind_an_uplink_too() {
    each(|rig| {
        serve_apart(rig);
        let case = rig.case;
        rig.link(LINK, LinkValue::UPLINK, None);
        let pods = cidr(case.pod(1), 24, 112);
        rig.edit(Edit::Cidr(pods, true));
        let asked = case.opening(case.pod(20_000), case.vip());
        assert_eq!(rig.chosen(&asked), case.backend(1));
        rig.edit(Edit::Cidr(pods, false));
        let asked = case.opening(case.pod(40_001), case.vip());
        assert_eq!(rig.chosen(&asked), case.backend(2));
    });
}

/// kube-proxy sends it on unmasqueraded, and the answer never comes back through this node.
#[test]
fn a_pod_of_another_node_is_an_outsider_at_external_addresses() {
    let external =
        [FrontendValue::NODE_PORT, FrontendValue::EXTERNAL_IP, FrontendValue::LOAD_BALANCER];
    for kind in external {
        each(|rig| {
            let case = rig.case;
            rig.backend(1, case.backend(1), HERE);
            rig.backend(2, case.backend(2), HERE);
            let (inside, outside) = (rig.range(0, &[1]), rig.range(1, &[2]));
            rig.frontend(case.vip(), FrontendValue { outside, kind, ..leading_to(inside) });
            rig.edit(Edit::Cidr(cidr(case.pod(1), 24, 112), true));
            let asked = case.opening(case.pod(20_000), case.vip());
            assert_eq!(rig.chosen(&asked), case.backend(1), "by the link of a pod");
            rig.link(LINK, LinkValue::UPLINK, None);
            let asked = case.opening(case.pod(40_001), case.vip());
            assert_eq!(rig.chosen(&asked), case.backend(2), "by an uplink");
        });
    }
}

/// The range around an address, by the prefix length of its family.
fn cidr(at: SocketAddr, v4_len: u32, v6_len: u32) -> CidrKey {
    let prefix_len = if at.is_ipv4() { 96 + v4_len } else { v6_len };
    CidrKey { prefix_len, addr: Addr::from(at.ip()).0 }
}

#[test]
fn a_backend_elsewhere_is_reached_through_the_stack_by_a_pod() {
    each(|rig| {
        let case = rig.case;
        let choice = rig.behind(&[case.on_uplink(4, 8080)], ELSEWHERE);
        rig.frontend(case.vip(), leading_to(choice));
        let asked = case.opening(case.pod(20_000), case.vip());
        assert_eq!(rig.chosen(&asked), case.on_uplink(4, 8080));
    });
}

#[test]
fn backends_of_one_service_may_have_different_ports() {
    each(|rig| {
        let case = rig.case;
        let ports = [8080, 9090, 65_535, 1].map(|port| SocketAddr::new(case.backend(1).ip(), port));
        let choice = rig.behind(&ports, HERE);
        rig.frontend(case.vip(), leading_to(choice));
        let chosen: Vec<_> =
            (0..40).map(|n| rig.chosen(&case.opening(case.pod(20_000 + n), case.vip()))).collect();
        assert!(ports.iter().all(|port| chosen.contains(port)), "{chosen:?}");
    });
}

#[test]
fn sctp_to_a_port_of_tcp_is_not_ours() {
    each_where(Case::is_tcp, |rig| {
        let case = rig.case;
        rig.serve(1);
        let mut bytes = Frame::syn(case.pod(20_000), case.vip()).bytes();
        let proto = if case.v6 { 14 + 6 } else { 14 + 9 };
        bytes[proto] = IpProto::SCTP.0;
        let out = rig.send_bytes(&bytes);
        assert_eq!((out.bytes, rig.reasons()), (bytes, vec![]));
    });
}
