//! Clients that speak to a backend itself, from a port from which they had asked the Service.

use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{Rig, each_of};
use lb_common::flow::Edge;
use lb_common::layout::address::AddressValue;
use lb_userspace::reconcile::Edit;

/// A client asked the Service; the backend that it got is known as one.
fn asked(rig: &mut Rig) -> Frame {
    let case = rig.case;
    rig.serve(1);
    rig.edit(Edit::Address(case.backend(1).ip().into(), AddressValue::BACKEND));
    let asked = case.opening(case.pod(20_000), case.vip());
    assert_eq!(rig.chosen(&asked), case.backend(1));
    asked
}

/// What the backend sends to the client leaves as it is.
#[track_caller]
fn answer_is_left_alone(rig: &mut Rig) {
    let case = rig.case;
    let answer = case.later(case.backend(1), case.pod(20_000));
    assert_eq!(rig.leave(&answer).frame().src(), case.backend(1));
}

fn flows(rig: &Rig) -> usize {
    rig.maps.flows().unwrap().len()
}

fn tcp() -> impl Iterator<Item = Case> {
    Case::all().filter(|case| case.is_tcp())
}

#[test]
fn a_connection_to_the_backend_itself_is_not_taken_for_one_that_has_ended() {
    each_of(tcp(), |rig| {
        let asked = asked(rig);
        let case = rig.case;
        rig.send(&asked.tcp(|tcp| (tcp.syn, tcp.rst) = (false, true)));
        let direct = case.opening(case.pod(20_000), case.backend(1));
        rig.passes(&direct);
        assert_eq!(flows(rig), 0);
        answer_is_left_alone(rig);
    });
}

#[test]
fn a_connection_that_has_not_ended_keeps_its_way() {
    each_of(tcp(), |rig| {
        let asked = asked(rig);
        let case = rig.case;
        rig.passes(&case.opening(case.pod(20_000), case.backend(1)));
        assert_eq!(flows(rig), 2);
        let answer = case.later(case.backend(1), case.pod(20_000));
        assert_eq!(rig.leave(&answer).frame().src(), case.vip());
        assert!(rig.find_flow(asked.key(Edge::INGRESS)).is_some());
    });
}

#[test]
fn later_segments_to_a_backend_itself_forget_nothing() {
    each_of(tcp(), |rig| {
        let asked = asked(rig);
        let case = rig.case;
        rig.send(&asked.tcp(|tcp| (tcp.syn, tcp.rst) = (false, true)));
        rig.passes(&case.later(case.pod(20_000), case.backend(1)));
        assert_eq!(flows(rig), 2);
    });
}

/// XDP hands translated datagrams on to TC, where they look like these.
#[test]
fn datagrams_to_a_backend_itself_forget_nothing() {
    each_of(Case::all().filter(|case| !case.is_tcp()), |rig| {
        asked(rig);
        let case = rig.case;
        rig.passes(&case.opening(case.pod(20_000), case.backend(1)));
        assert_eq!(flows(rig), 2);
    });
}

#[test]
fn other_clients_flows_are_left_alone() {
    each_of(Case::all(), |rig| {
        asked(rig);
        let case = rig.case;
        rig.passes(&case.opening(case.pod(20_001), case.backend(1)));
        rig.passes(&case.opening(case.other_pod(1, 20_000), case.backend(1)));
        assert_eq!(flows(rig), 2);
    });
}
