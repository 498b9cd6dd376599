//! Flows that age, end, or lose an entry.

use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{HERE, HZ, Rig, Verdict, each, each_where};
use etherparse::TcpHeader;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_userspace::reconcile::Edit;

/// What a client on port 40,000 sends to open a flow.
fn asked(case: Case) -> Frame {
    case.opening(case.pod(40_000), case.vip())
}

/// What it sends afterwards.
fn more(case: Case) -> Frame {
    case.later(case.pod(40_000), case.vip())
}

/// What the first backend answers.
fn answer(case: Case) -> Frame {
    case.later(case.backend(1), case.pod(40_000))
}

/// One backend and a flow to it.
fn open(rig: &mut Rig) {
    rig.serve(1);
    rig.chosen(&asked(rig.case));
}

/// From now on only backend 2 is chosen, and the first one's cell belongs to somebody else.
fn first_is_gone(rig: &mut Rig) {
    let case = rig.case;
    let next = BackendValue { generation: 2, ..rig.backend_value(case.backend(7)) };
    rig.edit(Edit::Backend(1, next));
    second_only(rig);
}

/// From now on only backend 2 is chosen.
fn second_only(rig: &mut Rig) {
    let case = rig.case;
    rig.backend(2, case.backend(2), HERE);
    let choice = rig.range(1, &[2]);
    rig.frontend(case.vip(), rig.leading_to(choice));
}

/// Progress of both halves.
#[track_caller]
fn progress(rig: &Rig) -> [Progress; 2] {
    let forward = rig.flow(asked(rig.case).key(Edge::INGRESS));
    let reply = rig.flow(answer(rig.case).key(Edge::EGRESS));
    [forward.progress, reply.progress]
}

/// Lets time pass for a half.
fn be_silent(rig: &mut Rig, key: FlowKey, seconds: u32) {
    let value = rig.flow(key);
    let seen = value.seen.wrapping_sub(seconds * HZ);
    rig.maps.put_flow(key, FlowValue { seen, ..value }).unwrap();
}

fn flags(frame: &Frame, set: impl Fn(&mut TcpHeader)) -> Frame {
    frame.tcp(|tcp| {
        (tcp.syn, tcp.ack, tcp.psh) = (false, false, false);
        set(tcp);
    })
}

fn syn_ack(frame: &Frame) -> Frame {
    flags(frame, |tcp| (tcp.syn, tcp.ack) = (true, true))
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
fn a_syn_again_keeps_its_backend() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        second_only(rig);
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
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

#[test]
fn a_datagram_to_a_backend_that_is_gone_is_balanced_again() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            open(rig);
            first_is_gone(rig);
            assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(2));
        },
    );
}

#[test]
fn an_established_connection_stays_with_a_backend_that_is_gone() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        first_is_gone(rig);
        assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        let last = answer(rig.case);
        rig.leave(&last).is(Verdict::Passed, &last.from(rig.case.vip()));
    });
}

#[test]
fn a_syn_to_a_backend_that_is_gone_is_balanced_again() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        first_is_gone(rig);
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(2));
    });
}

#[test]
fn a_datagram_to_a_backend_that_is_only_terminating_stays() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            open(rig);
            rig.backend(1, rig.case.backend(1), BackendValue::LOCAL | BackendValue::TERMINATING);
            second_only(rig);
            assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        },
    );
}

#[test]
fn a_lost_reply_half_is_put_back_after_a_silence() {
    each(|rig| {
        open(rig);
        let (forward, reply) =
            (asked(rig.case).key(Edge::INGRESS), answer(rig.case).key(Edge::EGRESS));
        let before = rig.flow(reply);
        rig.maps.remove_flow(&reply).unwrap();
        be_silent(rig, forward, 8);
        rig.chosen(&more(rig.case));
        let after = rig.flow(reply);
        assert_eq!(FlowValue { seen: before.seen, ..after }, before);
        let late = answer(rig.case);
        rig.leave(&late).is(Verdict::Passed, &late.from(rig.case.vip()));
    });
}

#[test]
fn a_lost_reply_half_is_put_back_by_a_syn() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.maps.remove_flow(&answer(rig.case).key(Edge::EGRESS)).unwrap();
        rig.chosen(&asked(rig.case));
        let late = syn_ack(&answer(rig.case));
        rig.leave(&late).is(Verdict::Passed, &late.from(rig.case.vip()));
    });
}

#[test]
fn a_lost_forward_half_is_opened_again_without_a_second_reply_half() {
    each(|rig| {
        open(rig);
        rig.lose(&asked(rig.case));
        rig.chosen(&more(rig.case));
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
    });
}

#[test]
fn a_packet_after_a_second_renews_its_half() {
    each(|rig| {
        open(rig);
        let key = asked(rig.case).key(Edge::INGRESS);
        let now = rig.flow(key).seen;
        be_silent(rig, key, 2);
        rig.chosen(&more(rig.case));
        let seen = rig.flow(key).seen;
        assert!(seen.wrapping_sub(now) < HZ, "{seen}, {now}");
    });
}

#[test]
fn a_packet_within_a_second_writes_nothing() {
    each(|rig| {
        open(rig);
        rig.leave(&answer(rig.case));
        let flows = |rig: &Rig| rig.maps.flows().unwrap();
        let before = flows(rig);
        rig.chosen(&more(rig.case));
        rig.leave(&answer(rig.case));
        assert_eq!(flows(rig), before);
    });
}
