//! Checksums of the special kind. All others are compared in every scene.

use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{Verdict, each_where};

#[test]
fn an_absent_udp_checksum_stays_absent() {
    each_where(
        |case| !case.v6 && !case.is_tcp(),
        |rig| {
            let case = rig.case;
            rig.serve(1);
            let asked = Frame { unchecked: true, ..case.opening(case.pod(20_000), case.vip()) };
            assert_eq!(rig.chosen(&asked), case.backend(1));
            let answer = Frame { unchecked: true, ..case.later(case.backend(1), case.pod(20_000)) };
            rig.leave(&answer).is(Verdict::Passed, &answer.from(case.vip()));
        },
    );
}

#[test]
fn a_udp_checksum_that_becomes_zero_is_sent_as_all_ones() {
    each_where(is_udp, |rig| {
        let case = rig.case;
        rig.serve(1);
        let (asked, sent) = summing_to_zero(case);
        rig.send(&asked).is(Verdict::Passed, &sent);
        assert_eq!(checksum(&sent), 0xffff);
    });
}

#[test]
fn a_udp_checksum_of_all_ones_is_a_zero_that_changes() {
    each_where(is_udp, |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        // The same way back: what is all ones now becomes something else.
        let (_, sent) = summing_to_zero(case);
        let answer = balanced(sent.between(sent.dst(), sent.src()));
        assert_eq!(checksum(&answer), 0xffff);
        rig.leave(&answer).is(Verdict::Passed, &answer.from(case.vip()));
    });
}

fn is_udp(case: Case) -> bool {
    !case.is_tcp()
}

/// A datagram to the Service, and what it becomes: one whose checksum is zero.
fn summing_to_zero(case: Case) -> (Frame, Frame) {
    let sent = balanced(Frame::datagram(case.pod(20_000), case.backend(1)).carrying(&[0; 8]));
    (sent.to(case.vip()), sent)
}

/// The same with its payload's first word chosen so that all words sum up to all ones.
pub(super) fn balanced(frame: Frame) -> Frame {
    let frame = frame.carrying(&[0; 8]);
    let mut payload = [0; 8];
    // The complement of a sum is what it lacks.
    payload[..2].copy_from_slice(&checksum(&frame).to_be_bytes());
    frame.carrying(&payload)
}

/// The checksum of a UDP frame.
fn checksum(frame: &Frame) -> u16 {
    let at = frame.l4() + 6;
    let bytes = frame.bytes();
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
