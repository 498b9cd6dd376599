//! Flows that must not be mistaken for one another: the backend sees a source port that tells
//! them apart.

use crate::case::{Case, PORT};
use crate::frame::Frame;
use crate::rig::{Rig, Verdict, each};
use crate::tables::leading_to;
use std::net::SocketAddr;

/// Two frontends with one backend.
fn serve_two(rig: &mut Rig) {
    rig.serve(1);
    let choice = rig.range(0, &[1]);
    rig.frontend(rig.case.other_vip(), leading_to(choice));
}

/// The pod and the port that the backend sees.
#[track_caller]
fn ask(rig: &mut Rig, vip: SocketAddr) -> SocketAddr {
    let case = rig.case;
    let asked = case.opening(case.pod(20_000), vip);
    let outcome = rig.send(&asked);
    let src = outcome.frame().src();
    outcome.is(Verdict::Passed, &asked.between(src, case.backend(1)));
    src
}

#[test]
fn two_services_with_one_backend_and_one_client_port_never_collide() {
    each(|rig| {
        serve_two(rig);
        let case = rig.case;
        let (first, second) = (ask(rig, case.vip()), ask(rig, case.other_vip()));
        assert_eq!(first, case.pod(20_000));
        assert_eq!(second.ip(), first.ip());
        assert_ne!(second.port(), first.port());
        for (vip, seen) in [(case.vip(), first), (case.other_vip(), second)] {
            let answer = case.later(case.backend(1), seen);
            rig.leave(&answer).is(Verdict::Passed, &answer.between(vip, case.pod(20_000)));
        }
    });
}

#[test]
fn a_replaced_port_stays_with_its_flow() {
    each(|rig| {
        serve_two(rig);
        let case = rig.case;
        ask(rig, case.vip());
        let second = ask(rig, case.other_vip());
        let later = case.later(case.pod(20_000), case.other_vip());
        rig.send(&later).is(Verdict::Passed, &later.between(second, case.backend(1)));
    });
}

#[test]
fn a_replaced_port_needs_no_privilege() {
    each(|rig| {
        serve_two(rig);
        let case = rig.case;
        for port in 900..910 {
            let asked = case.opening(case.pod(port), case.vip());
            assert_eq!(rig.send(&asked).frame().src(), case.pod(port));
            let again = rig.send(&asked.to(case.other_vip())).frame().src();
            assert!(again.port() >= 1024, "{again}");
        }
    });
}

#[test]
fn a_client_that_talks_to_the_backend_itself_keeps_its_own_conversation() {
    each(|rig| {
        serve_two(rig);
        let case = rig.case;
        let direct = case.opening(case.pod(40_001), case.backend(1));
        rig.passes(&direct);
        ask(rig, case.vip());
        let answer = case.later(case.backend(1), case.pod(40_001));
        rig.leave(&answer).is(Verdict::Passed, &answer);
    });
}

#[test]
fn two_clients_of_one_port_keep_it() {
    each(|rig| {
        serve_two(rig);
        let case = rig.case;
        for n in 0..4 {
            let pod = case.other_pod(n, 20_000);
            assert_eq!(rig.chosen(&case.opening(pod, case.vip())), case.backend(1));
            rig.leave(&answer(case, pod)).is(Verdict::Passed, &answer(case, pod).from(case.vip()));
        }
    });
}

fn answer(case: Case, pod: SocketAddr) -> Frame {
    case.later(case.backend(1), pod)
}

#[test]
fn two_ports_of_one_service_address_are_two_flows() {
    each(|rig| {
        rig.serve(1);
        let case = rig.case;
        let other = SocketAddr::new(case.vip().ip(), PORT + 363);
        let choice = rig.range(0, &[1]);
        rig.frontend(other, leading_to(choice));
        let (first, second) = (ask(rig, case.vip()), ask(rig, other));
        for (vip, seen) in [(case.vip(), first), (other, second)] {
            let answer = case.later(case.backend(1), seen);
            rig.leave(&answer).is(Verdict::Passed, &answer.between(vip, case.pod(20_000)));
        }
    });
}
