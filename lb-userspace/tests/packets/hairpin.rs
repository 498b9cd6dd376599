//! Clients that are their own backend: without another source they would answer themselves.

use crate::case::{Case, TARGET_PORT};
use crate::frame::{Frame, HOPS, NODE_MAC, PEER_MAC};
use crate::rig::{LINK, Rig, Verdict, each};
use crate::tables::{HERE, leading_to};
use lb_common::flow::Edge;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use std::net::SocketAddr;

/// The pod, as a server.
fn server(case: Case) -> SocketAddr {
    case.pod(TARGET_PORT)
}

fn node(case: Case) -> SocketAddr {
    SocketAddr::new(case.node(), 20_000)
}

/// What the pod asks, as a client.
fn asked(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip())
}

/// A Service whose only backend is the client.
fn serve_itself(rig: &mut Rig) {
    let choice = rig.behind(&[server(rig.case)], HERE);
    rig.frontend(rig.case.vip(), leading_to(choice));
    rig.link(LINK, LinkValue::POD, Some(rig.case.node()));
}

/// A packet on its way back to where it came from.
fn returning(frame: &Frame) -> Frame {
    frame.hops(HOPS - 1).over((NODE_MAC, PEER_MAC))
}

#[test]
fn a_client_that_is_its_own_backend_hears_from_the_node() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        let sent = asked(case).between(node(case), server(case));
        rig.send(&asked(case)).is(rig.turned_back(), &returning(&sent));
    });
}

#[test]
fn its_answer_to_the_node_comes_back_to_it_from_the_frontend() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        rig.send(&asked(case));
        let answer = case.later(server(case), node(case));
        let sent = answer.between(case.vip(), case.pod(20_000));
        rig.send(&answer).is(rig.turned_back(), &returning(&sent));
    });
}

#[test]
fn both_halves_turn_back_into_the_same_link() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        rig.send(&asked(case));
        let answer = case.later(server(case), node(case));
        let hairpin = FlowValue::SNAT | FlowValue::HAIRPIN;
        let forward = rig.flow(asked(case).key(Edge::INGRESS));
        let reply = rig.flow(answer.key(Edge::INGRESS));
        assert_eq!((forward.flags, forward.link), (hairpin, LINK));
        assert_eq!((reply.flags, reply.link), (hairpin | FlowValue::REPLY, LINK));
    });
}

#[test]
fn later_packets_turn_back_too() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        rig.send(&asked(case));
        let later = case.later(case.pod(20_000), case.vip());
        let sent = later.between(node(case), server(case));
        rig.send(&later).is(rig.turned_back(), &returning(&sent));
    });
}

#[test]
fn only_the_client_that_was_chosen_itself_is_masqueraded() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        let other = case.opening(case.other_pod(1, 20_000), case.vip());
        assert_eq!(rig.chosen(&other), server(case));
    });
}

#[test]
fn the_nodes_address_stands_in_where_a_pods_link_has_none() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        rig.link(LINK, LinkValue::POD, None);
        rig.link(0, 0, Some(case.node()));
        let sent = asked(case).between(node(case), server(case));
        rig.send(&asked(case)).is(rig.turned_back(), &returning(&sent));
    });
}

#[test]
fn a_hairpin_without_an_address_to_masquerade_with_is_dropped_and_counted() {
    each(|rig| {
        serve_itself(rig);
        rig.link(LINK, LinkValue::POD, None);
        rig.drops(&asked(rig.case), Reason::NoRoute);
    });
}

#[test]
fn a_hairpin_takes_a_hop() {
    each(|rig| {
        serve_itself(rig);
        rig.count_anew();
        let told = rig.send(&asked(rig.case).hops(1));
        assert_eq!((told.verdict, rig.reasons()), (rig.turned_back(), vec![(Reason::HopLimit, 1)]));
        let out = rig.send(&asked(rig.case).hops(2));
        assert_eq!((out.verdict, out.frame()), (rig.turned_back(), out.frame().hops(1)));
    });
}

#[test]
fn a_node_that_talks_to_the_pod_itself_is_not_mistaken_for_the_client() {
    each(|rig| {
        serve_itself(rig);
        let case = rig.case;
        rig.send(&asked(case));
        let other = SocketAddr::new(case.node(), 40_001);
        let answer = case.later(server(case), other);
        rig.send(&answer).is(Verdict::Passed, &answer);
    });
}
