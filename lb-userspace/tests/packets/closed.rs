//! Ports of a `ClusterIP` that no Service has: the client is refused, lest its packet wanders
//! through the network.

use crate::case::{Case, PORT};
use crate::fragments;
use crate::frame::{Frame, L3, SEQ};
use crate::hook::Hook;
use crate::refuse;
use crate::rig::{Rig, Verdict, each, each_of};
use crate::tables::leading_to;
use lb_common::flow::Edge;
use lb_common::layout::address::AddressValue;
use lb_common::layout::frontend::FrontendKey;
use lb_common::verdict::Reason;
use lb_common::wire::{IpProto, Port};
use lb_userspace::reconcile::Edit;
use std::net::SocketAddr;

/// A Service at another port of the same address.
fn serve_closed(rig: &mut Rig) {
    let case = rig.case;
    rig.serve(1);
    let key = FrontendKey::of(case.vip().ip().into(), Port::new(PORT), case.proto);
    rig.edit(Edit::Frontend(key, None));
    let choice = rig.range(0, &[1]);
    rig.frontend(open_port(case), leading_to(choice));
    let bits = AddressValue::FRONTEND | AddressValue::CLUSTER_IP;
    rig.edit(Edit::Address(case.vip().ip().into(), bits));
}

fn open_port(case: Case) -> SocketAddr {
    SocketAddr::new(case.vip().ip(), PORT + 1)
}

/// What a pod sends to the closed port.
fn asked(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip())
}

fn refusal(case: Case, asked: &Frame) -> Frame {
    if asked.key(Edge::INGRESS).proto == IpProto::TCP {
        refuse::reset(case, 0, Some(SEQ.wrapping_add(1)))
    } else {
        refuse::unreachable(case, asked)
    }
}

#[track_caller]
fn is_refused(rig: &mut Rig, asked: &Frame) {
    rig.count_anew();
    let told = refusal(rig.case, asked);
    rig.send(asked).is(rig.turned_back(), &told);
    assert_eq!(rig.reasons(), [(Reason::NoPort, 1)]);
    assert_eq!(rig.maps.flows().unwrap(), []);
}

#[test]
fn a_port_that_no_service_has_is_refused() {
    each(|rig| {
        serve_closed(rig);
        is_refused(rig, &asked(rig.case));
    });
}

#[test]
fn sctp_is_refused_too() {
    each_of(Case::sctp(), |rig| {
        serve_closed(rig);
        is_refused(rig, &asked(rig.case));
    });
}

#[test]
fn a_port_of_another_protocol_is_refused() {
    each(|rig| {
        serve_closed(rig);
        let case = rig.case;
        let other = if case.is_tcp() { IpProto::UDP } else { IpProto::TCP };
        let choice = rig.range(0, &[1]);
        let key = FrontendKey::of(case.vip().ip().into(), Port::new(PORT), other);
        rig.edit(Edit::Frontend(key, Some(leading_to(choice))));
        is_refused(rig, &asked(case));
        let served = asked(Case { proto: other, ..case });
        assert_eq!(rig.chosen(&served), case.backend(1));
    });
}

#[test]
fn the_port_that_a_service_has_is_served() {
    each(|rig| {
        serve_closed(rig);
        let asked = asked(rig.case).to(open_port(rig.case));
        assert_eq!(rig.chosen(&asked), rig.case.backend(1));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_address_without_any_frontend_is_refused_while_it_is_a_cluster_ip() {
    each(|rig| {
        let addr = rig.case.vip().ip().into();
        rig.edit(Edit::Address(addr, AddressValue::CLUSTER_IP));
        is_refused(rig, &asked(rig.case));
        rig.edit(Edit::Address(addr, 0));
        rig.count_anew();
        rig.passes(&asked(rig.case));
    });
}

#[test]
fn other_virtual_addresses_let_it_pass() {
    each(|rig| {
        serve_closed(rig);
        let others = [AddressValue::FRONTEND, AddressValue::NODE_PORTS, AddressValue::BACKEND];
        for bits in others {
            rig.edit(Edit::Address(rig.case.vip().ip().into(), bits));
            rig.passes(&asked(rig.case));
        }
    });
}

#[test]
fn a_reset_is_never_answered() {
    each_of(Case::all().filter(|case| case.is_tcp()), |rig| {
        serve_closed(rig);
        rig.drops(&asked(rig.case).tcp(|tcp| tcp.rst = true), Reason::NoPort);
    });
}

#[test]
fn nobody_connects_from_port_0() {
    each(|rig| {
        serve_closed(rig);
        rig.passes(&asked(rig.case).from(rig.case.pod(0)));
    });
}

#[test]
fn a_flow_of_a_port_that_was_closed_goes_on() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&asked(case));
        let key = FrontendKey::of(case.vip().ip().into(), Port::new(PORT), case.proto);
        rig.edit(Edit::Frontend(key, None));
        rig.edit(Edit::Address(key.addr, AddressValue::CLUSTER_IP));
        let later = case.later(case.pod(20_000), case.vip());
        assert_eq!(rig.chosen(&later), case.backend(1));
        let next = asked(case).from(case.pod(20_001));
        rig.count_anew();
        assert_eq!(rig.send(&next).verdict, rig.turned_back());
        assert_eq!(rig.reasons(), [(Reason::NoPort, 1)]);
    });
}

#[test]
fn what_leaves_is_not_refused() {
    each(|rig| {
        serve_closed(rig);
        let asked = asked(rig.case);
        rig.leave(&asked).is(Verdict::Passed, &asked);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn protocols_without_ports_pass() {
    each(|rig| {
        serve_closed(rig);
        for proto in [47, 50, if rig.case.v6 { 58 } else { 1 }] {
            let mut bytes = asked(rig.case).bytes();
            bytes[L3 + if rig.case.v6 { 6 } else { 9 }] = proto;
            rig.send_bytes(&bytes).is_bytes(Verdict::Passed, &bytes);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_first_fragment_is_refused() {
    each_of(fragments::cases(), |rig| {
        serve_closed(rig);
        let first = &fragments::cut(&fragments::asked(rig.case))[0];
        let out = rig.run(Hook::TcIngress, first);
        let told = (Verdict::Redirected, vec![(Reason::NoPort, 1)]);
        assert_eq!((out.verdict, rig.reasons()), told);
    });
}
