//! Flows whose source is replaced: the answer would not come back to this node otherwise.

use crate::case::{Case, neighbour_mac};
use crate::frame::{Frame, HOPS};
use crate::network::Uplink;
use crate::rig::{ELSEWHERE, HERE, LINK, Rig, Verdict, each_routed};
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::Edge;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::Choice;
use lb_common::layout::node::{CidrKey, LinkValue};
use lb_common::verdict::Reason;
use lb_common::wire::{Addr, Port};
use lb_userspace::reconcile::Edit;
use std::net::SocketAddr;

fn client(case: Case) -> SocketAddr {
    case.on_uplink(1, 40_000)
}

fn remote(case: Case) -> SocketAddr {
    case.on_uplink(4, 8080)
}

fn node(case: Case, port: u16) -> SocketAddr {
    SocketAddr::new(case.node(), port)
}

/// What the client sends.
fn asked(case: Case) -> Frame {
    case.opening(client(case), case.vip())
}

/// One backend, on another node.
fn serve_elsewhere(rig: &mut Rig) -> Choice {
    let choice = rig.behind(&[remote(rig.case)], ELSEWHERE);
    rig.frontend(rig.case.vip(), rig.leading_to(choice));
    choice
}

/// A packet as it leaves by the uplink: one hop less, and from XDP with the addresses of the next
/// hop, which the kernel adds to what TC redirects.
fn leaving(case: Case, uplink: &Uplink, frame: &Frame) -> Frame {
    let sent = frame.hops(HOPS - 1);
    let macs = (uplink.mac, neighbour_mac(frame.dst().ip()));
    if case.is_xdp() { sent.over(macs) } else { sent }
}

/// Sends a packet to the VIP that must reach the remote backend; gives the port it comes from.
#[track_caller]
fn masqueraded(rig: &mut Rig, uplink: &Uplink, frame: &Frame) -> u16 {
    let case = rig.case;
    let outcome = rig.send(frame);
    let port = outcome.frame().src().port();
    let sent = frame.between(node(case, port), remote(case));
    outcome.is(Verdict::Redirected, &leaving(case, uplink, &sent));
    port
}

/// The backend's answer to a port of the node must reach this client from the VIP.
#[track_caller]
fn answered(rig: &mut Rig, uplink: &Uplink, port: u16, client: SocketAddr) {
    let case = rig.case;
    let answer = case.later(remote(case), node(case, port));
    let sent = answer.between(case.vip(), client);
    rig.send(&answer).is(Verdict::Redirected, &leaving(case, uplink, &sent));
}

#[test]
fn an_outside_client_of_a_remote_backend_is_masqueraded_and_keeps_its_port() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        assert_eq!(masqueraded(rig, uplink, &asked(rig.case)), 40_000);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn its_answer_comes_back_from_the_frontend() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(rig.case));
        answered(rig, uplink, 40_000, client(rig.case));
    });
}

#[test]
fn both_halves_are_translated_at_ingress() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        let answer = case.later(remote(case), node(case, 40_000));
        let forward = rig.flow(asked(case).key(Edge::INGRESS));
        let reply = rig.flow(answer.key(Edge::INGRESS));
        assert_eq!((forward.flags, forward.link), (FlowValue::SNAT, uplink.index));
        assert_eq!((reply.flags, reply.link), (FlowValue::SNAT | FlowValue::REPLY, LINK));
        assert_eq!((forward.src, forward.sport), (case.node().into(), Port::new(40_000)));
        assert_eq!((reply.dst, reply.dport), (client(case).ip().into(), Port::new(40_000)));
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
    });
}

#[test]
fn two_clients_with_one_port_get_two_and_their_own_answers() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let clients = [1, 2, 3].map(|n| case.on_uplink(n, 40_000));
        let ports = clients.map(|c| masqueraded(rig, uplink, &case.opening(c, case.vip())));
        assert_eq!(ports[0], 40_000);
        assert!(ports[1] != ports[0] && ports[2] != ports[0] && ports[1] != ports[2], "{ports:?}");
        for (client, port) in clients.into_iter().zip(ports) {
            answered(rig, uplink, port, client);
        }
        let later = case.later(clients[1], case.vip());
        assert_eq!(masqueraded(rig, uplink, &later), ports[1]);
    });
}

#[test]
fn the_port_of_a_closed_flow_is_free() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        masqueraded(rig, uplink, &case.later(client(case), case.vip()).tcp(|tcp| tcp.rst = true));
        let next = case.opening(case.on_uplink(2, 40_000), case.vip());
        let kept = masqueraded(rig, uplink, &next) == 40_000;
        assert_eq!(kept, case.is_tcp(), "UDP has no end");
    });
}

#[test]
fn a_client_without_any_port_left_is_dropped_and_counted() {
    each_routed(|rig, _| {
        let case = rig.case;
        // 64,512 entries take their time.
        if !case.is_tcp() || case.v6 {
            return;
        }
        serve_elsewhere(rig);
        take_all_ports(rig);
        rig.drops(&asked(case), Reason::SourcePortsExhausted);
        assert_eq!(rig.find_flow(asked(case).key(Edge::INGRESS)), None);
    });
}

/// Makes somebody else own every source port towards the backend.
fn take_all_ports(rig: &mut Rig) {
    let case = rig.case;
    let mut key = case.later(remote(case), node(case, 0)).key(Edge::INGRESS);
    let mut value: FlowValue = bytemuck::Zeroable::zeroed();
    value.flags = FlowValue::REPLY | FlowValue::SNAT;
    for port in 1024..=u16::MAX {
        key.dport = Port::new(port);
        rig.maps.put_flow(key, value).unwrap();
    }
}

#[test]
fn a_local_backend_sees_the_address_of_an_outside_client() {
    each_routed(|rig, _| {
        rig.serve(1);
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
    });
}

#[test]
fn a_pod_of_another_node_is_an_insider_and_masqueraded() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let inside = serve_elsewhere(rig);
        let outside = Choice { len: 0, ..inside };
        rig.frontend(case.vip(), FrontendValue { outside, ..rig.leading_to(inside) });
        let addr = Addr::from(client(case).ip()).0;
        rig.edit(Edit::Cidr(CidrKey { prefix_len: 128, addr }, true));
        masqueraded(rig, uplink, &asked(case));
    });
}

use lb_common::layout::frontend::FrontendValue;

#[test]
fn the_nodes_address_stands_in_where_the_leaving_link_has_none() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(uplink.index, LinkValue::UPLINK, None);
        rig.link(0, 0, Some(rig.case.node()));
        masqueraded(rig, uplink, &asked(rig.case));
    });
}

#[test]
fn the_leaving_links_address_goes_before_the_nodes() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(0, 0, Some(rig.case.stranger().ip()));
        masqueraded(rig, uplink, &asked(rig.case));
    });
}

#[test]
fn without_an_address_to_masquerade_with_the_client_is_dropped_and_counted() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(uplink.index, LinkValue::UPLINK, None);
        rig.drops(&asked(rig.case), Reason::NoRoute);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn without_a_route_to_the_backend_the_client_is_dropped_and_counted() {
    each_routed(|rig, _| {
        let case = rig.case;
        let choice = rig.behind(&[case.backend(1)], ELSEWHERE);
        rig.frontend(case.vip(), rig.leading_to(choice));
        rig.drops(&asked(case), Reason::NoRoute);
    });
}

#[test]
fn the_last_hop_ends_at_a_node_that_routes() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(rig.case));
        for hops in [0, 1] {
            rig.drops(&asked(rig.case).hops(hops), Reason::HopLimit);
        }
    });
}

#[test]
fn xdp_leaves_an_unknown_neighbour_to_tc_untouched() {
    each_routed(|rig, _| {
        let case = rig.case;
        let unknown = case.on_uplink(20, 8080);
        let choice = rig.behind(&[unknown], ELSEWHERE);
        rig.frontend(case.vip(), rig.leading_to(choice));
        let sent = asked(case).between(node(case, 40_000), unknown).hops(HOPS - 1);
        if case.is_xdp() {
            rig.passes(&asked(case));
        }
        let bytes = asked(case).bytes();
        rig.run(Hook::TcIngress, &bytes).is(Verdict::Redirected, &sent);
    });
}

use lb_userspace::bpf::test_run::Hook;

#[test]
fn always_snat_masquerades_a_pod_of_this_node_too() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        rig.link(LINK, LinkValue::POD, None);
        let choice = Choice { flags: Choice::SNAT, ..serve_elsewhere(rig) };
        rig.frontend(case.vip(), rig.leading_to(choice));
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 40_000, client(case));
    });
}

#[test]
fn always_snat_masquerades_before_a_local_backend_too() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let choice = rig.behind(&[remote(case)], HERE);
        let choice = Choice { flags: Choice::SNAT, ..choice };
        rig.frontend(case.vip(), rig.leading_to(choice));
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 40_000, client(case));
    });
}

#[test]
fn a_pod_of_this_node_reaches_a_remote_backend_under_its_own_address() {
    each_routed(|rig, _| {
        let case = rig.case;
        rig.link(LINK, LinkValue::POD, None);
        serve_elsewhere(rig);
        assert_eq!(rig.chosen(&asked(case)), remote(case));
    });
}

#[test]
fn a_lost_reply_half_of_a_masqueraded_flow_is_put_back() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        let key = case.later(remote(case), node(case, 40_000)).key(Edge::INGRESS);
        let before = rig.flow(key);
        rig.maps.remove_flow(&key).unwrap();
        let forward = asked(case).key(Edge::INGRESS);
        let value = rig.flow(forward);
        let silent = value.seen.wrapping_sub(8 * crate::rig::HZ);
        rig.maps.put_flow(forward, FlowValue { seen: silent, ..value }).unwrap();
        masqueraded(rig, uplink, &case.later(client(case), case.vip()));
        assert_eq!(FlowValue { seen: before.seen, ..rig.flow(key) }, before);
        answered(rig, uplink, 40_000, client(case));
    });
}

#[test]
fn an_answer_of_a_masqueraded_flow_is_noted_in_both_halves() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 40_000, client(case));
        let flows = rig.maps.flows().unwrap();
        assert!(flows.iter().all(|(_, value)| value.progress.0 == Progress::REPLIED), "{flows:?}");
    });
}
