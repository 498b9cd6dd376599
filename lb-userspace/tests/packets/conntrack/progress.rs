//! How a connection goes on and ends.

use super::{answer, asked, flags, more, open, second_only, syn_ack};
use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{Rig, Verdict, each, each_where};
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::Edge;

/// Progress of both halves.
#[track_caller]
fn progress(rig: &Rig) -> [Progress; 2] {
    let forward = rig.flow(asked(rig.case).key(Edge::INGRESS));
    let reply = rig.flow(answer(rig.case).key(Edge::EGRESS));
    [forward.progress, reply.progress]
}

fn fin(frame: &Frame) -> Frame {
    flags(frame, |tcp| (tcp.fin, tcp.ack) = (true, true))
}

fn rst(frame: &Frame) -> Frame {
    flags(frame, |tcp| tcp.rst = true)
}

#[test]
fn an_answer_is_noted_in_both_halves() {
    each(|rig| {
        open(rig);
        assert_eq!(progress(rig), [Progress(0); 2]);
        rig.leave(&syn_ack(&answer(rig.case)));
        assert_eq!(progress(rig), [Progress(Progress::REPLIED); 2]);
    });
}

#[test]
fn a_fin_of_either_side_is_noted_in_both_halves() {
    const REPLIED: u8 = Progress::REPLIED;
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.leave(&syn_ack(&answer(rig.case)));
        rig.send(&fin(&more(rig.case)));
        assert_eq!(progress(rig), [Progress(REPLIED | Progress::CLIENT_FIN); 2]);
        rig.leave(&fin(&answer(rig.case)));
        let closed = Progress(REPLIED | Progress::CLIENT_FIN | Progress::BACKEND_FIN);
        assert_eq!(progress(rig), [closed; 2]);
        assert!(closed.is_closed());
    });
}

#[test]
fn a_reset_of_the_client_is_noted_in_both_halves() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.send(&rst(&more(rig.case)));
        assert_eq!(progress(rig), [Progress(Progress::RESET); 2]);
    });
}

#[test]
fn a_reset_of_the_backend_is_noted_in_both_halves() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.leave(&rst(&answer(rig.case)));
        assert_eq!(progress(rig), [Progress(Progress::REPLIED | Progress::RESET); 2]);
    });
}

#[test]
fn a_closed_flow_still_translates_its_last_packets() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.send(&fin(&more(rig.case)));
        rig.leave(&fin(&answer(rig.case)));
        second_only(rig);
        assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        let last = answer(rig.case);
        rig.leave(&last).is(Verdict::Passed, &last.from(rig.case.vip()));
    });
}

#[test]
fn a_syn_after_the_end_is_balanced_again() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.send(&fin(&more(rig.case)));
        rig.leave(&fin(&answer(rig.case)));
        second_only(rig);
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(2));
        let forward = rig.flow(asked(rig.case).key(Edge::INGRESS));
        assert_eq!((forward.backend, forward.progress), (2, Progress(0)));
    });
}

#[test]
fn a_syn_after_a_reset_opens_the_same_ports_anew() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.send(&rst(&more(rig.case)));
        rig.chosen(&asked(rig.case));
        assert_eq!(progress(rig), [Progress(0); 2]);
        let first = answer(rig.case);
        rig.leave(&first).is(Verdict::Passed, &first.from(rig.case.vip()));
    });
}
