//! Datagrams that are none of ours pass untouched, in whatever order their fragments come.

use super::{CUTS, ID, OUT, answer, asked, become_fragments, cut};
use crate::case::Case;
use crate::frame::{L3, payload};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::fragments;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;
use std::net::SocketAddr;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc(), scene);
}

/// Fragments that pass as they are in this order, uncounted.
#[track_caller]
fn pass(rig: &mut Rig, hook: Hook, all: &[Vec<u8>], order: &[usize]) {
    for n in order {
        rig.run(hook, &all[*n]).is_bytes(Verdict::Passed, &all[*n]);
    }
    assert_eq!((rig.reasons(), rig.maps.flows().unwrap()), (vec![], vec![]));
}

const ORDERS: [[usize; 3]; 4] = [[0, 1, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0]];

#[test]
fn strangers_pass_in_any_order_and_nothing_is_noted() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        for order in ORDERS {
            let all = cut(&asked(case).to(case.stranger()));
            pass(rig, Hook::TcIngress, &all, &order);
            pass(rig, Hook::TcEgress, &all, &order);
        }
        assert_eq!(rig.fragments.keys().count() + rig.held.keys().count(), 0);
    });
}

#[test]
fn another_port_of_a_service_address_passes_when_the_first_has_come() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let all = cut(&asked(case).to(SocketAddr::new(case.vip().ip(), 81)));
        pass(rig, Hook::TcIngress, &all, &[0, 1, 2]);
        assert_eq!(rig.held.keys().count(), 0);
    });
}

#[test]
fn those_that_waited_in_vain_are_released() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let all = cut(&asked(case).to(SocketAddr::new(case.vip().ip(), 81)));
        for n in [2, 1] {
            assert_eq!(rig.send_bytes(&all[n]).verdict, Verdict::Dropped);
        }
        assert_eq!(rig.reasons(), [(Reason::FragmentHeld, 2)]);
        rig.count_anew();
        pass(rig, Hook::TcIngress, &all, &[0, 1, 2]);
        assert_eq!(rig.held.keys().count(), 0);
    });
}

#[test]
fn what_a_backend_sends_to_others_passes_when_the_first_has_come() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend_address();
        let all = cut(&answer(case));
        pass(rig, Hook::TcIngress, &all, &[0, 1, 2]);
        become_fragments(rig, OUT, &all, &all);
        let all = fragments(&answer(case).bytes(), ID + 1, &CUTS);
        assert_eq!(rig.run(Hook::TcEgress, &all[1]).verdict, Verdict::Dropped);
        assert_eq!(rig.reasons(), [(Reason::FragmentHeld, 1)]);
        rig.count_anew();
        pass(rig, Hook::TcEgress, &all, &[0, 1, 2]);
    });
}

#[test]
fn protocols_that_no_service_has_pass_in_any_order() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend_address();
        // Ping, GRE, ESP, IP in IP: a Service's address, or what a backend sends.
        let ping = if case.v6 { 58 } else { 1 };
        for proto in [ping, 47, 50, 4] {
            for frame in [asked(case), answer(case)].map(Box::new) {
                let mut bytes = frame.carrying(&payload(101)).bytes();
                bytes[L3 + if case.v6 { 6 } else { 9 }] = proto;
                let all = fragments(&bytes, ID, &CUTS);
                for order in ORDERS {
                    eprintln!("protocol {proto}, {order:?}");
                    pass(rig, Hook::TcIngress, &all, &order);
                    pass(rig, Hook::TcEgress, &all, &order);
                }
            }
        }
        assert_eq!(rig.held.keys().count(), 0);
    });
}

#[test]
fn a_fragment_that_leaves_for_a_service_address_does_not_wait() {
    each(|rig| {
        // SCTP of the node's own processes is translated as it leaves.
        if rig.case.proto == IpProto::SCTP {
            return;
        }
        rig.serve(1);
        let all = cut(&asked(rig.case));
        for order in ORDERS {
            pass(rig, Hook::TcEgress, &all, &order);
        }
    });
}
