//! Fragments out of order: those that come before the first wait for it.
//!
//! What is put back on its way goes through the queue of the link, which `wired` watches. Here:
//! who waits, what for, and how many.

use super::{CUTS, ID, answer, asked, cut, each, more};
use crate::case::Case;
use crate::frame::{Frame, payload};
use crate::hook::Hook;
use crate::rig::{HZ, Rig, Verdict};
use crate::shape::fragments;
use crate::tables::{leading_to, nobody};
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};
use lb_common::verdict::Reason;
use lb_userspace::bpf::Raw;

/// Sends a fragment that has to wait.
#[track_caller]
fn waits(rig: &mut Rig, fragment: &[u8]) {
    rig.count_anew();
    let out = rig.send_bytes(fragment);
    let reasons = vec![(Reason::FragmentHeld, 1)];
    assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, reasons));
}

/// Sends a fragment that cannot wait.
#[track_caller]
fn is_lost(rig: &mut Rig, fragment: &[u8]) {
    rig.count_anew();
    let out = rig.send_bytes(fragment);
    let reasons = vec![(Reason::FragmentLost, 1)];
    assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, reasons));
}

/// Frames that wait, in the order in which they came.
fn waiting(rig: &Rig) -> Vec<Vec<u8>> {
    let entries = rig.held.iter().map(|entry| entry.unwrap());
    let mut held: Vec<(HeldKey, HeldValue)> = entries.map(|(Raw(k), Raw(v))| (k, v)).collect();
    held.sort_by_key(|(key, _)| key.number);
    let frame = |held: &HeldValue| held.frame[..held.len as usize].to_vec();
    held.iter().map(|(_, held)| frame(held)).collect()
}

/// What is noted of the only datagram.
#[track_caller]
fn noted(rig: &Rig) -> (FragmentKey, FragmentValue) {
    let entries = rig.fragments.iter().map(|entry| entry.unwrap());
    let notes: Vec<_> = entries.map(|(Raw(key), Raw(value))| (key, value)).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    notes[0]
}

/// Lets time pass for the only datagram.
fn be_silent(rig: &mut Rig, seconds: u32) {
    let (key, mut value) = noted(rig);
    value.flow.seen = value.flow.seen.wrapping_sub(seconds * HZ);
    rig.fragments.insert(Raw(key), Raw(value), 0).unwrap();
}

#[test]
fn a_fragment_before_the_first_waits_as_it_is() {
    each(|rig| {
        rig.serve(1);
        let all = cut(&asked(rig.case));
        waits(rig, &all[1]);
        assert_eq!(waiting(rig), all[1..2]);
        waits(rig, &all[2]);
        assert_eq!(waiting(rig), all[1..]);
        assert_eq!(noted(rig).1.held, 2);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn those_that_wait_have_the_key_that_the_first_will_have() {
    each(|rig| {
        rig.serve(1);
        let all = cut(&asked(rig.case));
        waits(rig, &all[2]);
        let (key, _) = noted(rig);
        rig.send_bytes(&all[0]);
        let (same, value) = noted(rig);
        assert_eq!((same, value.held, value.flow.backend), (key, 0, 1));
    });
}

#[test]
fn the_first_is_translated_and_nobody_waits_any_more() {
    for order in [[1, 2], [2, 1]] {
        each(|rig| {
            let case = rig.case;
            rig.serve(1);
            let (all, sent) = (cut(&asked(case)), cut(&asked(case).to(case.backend(1))));
            for n in order {
                waits(rig, &all[n]);
            }
            rig.count_anew();
            rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &sent[0]);
            assert_eq!((waiting(rig), rig.reasons()), (vec![], vec![]));
            // As they come back.
            for n in order {
                rig.send_bytes(&all[n]).is_bytes(Verdict::Passed, &sent[n]);
            }
            assert_eq!(rig.reasons(), []);
        });
    }
}

#[test]
fn the_first_of_a_known_flow_releases_too() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let (all, sent) = (cut(&more(case)), cut(&more(case).to(case.backend(1))));
        waits(rig, &all[1]);
        rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &sent[0]);
        assert_eq!(waiting(rig), Vec::<Vec<u8>>::new());
        rig.send_bytes(&all[2]).is_bytes(Verdict::Passed, &sent[2]);
    });
}

#[test]
fn a_note_that_is_too_old_does_not_count() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let (all, sent) = (cut(&asked(case)), cut(&asked(case).to(case.backend(1))));
        rig.send_bytes(&all[0]);
        be_silent(rig, FragmentValue::LIFETIME_S - 1);
        rig.send_bytes(&all[1]).is_bytes(Verdict::Passed, &sent[1]);
        be_silent(rig, 2);
        waits(rig, &all[2]);
    });
}

#[test]
fn a_wait_that_is_too_old_is_over() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let (all, sent) = (cut(&asked(case)), cut(&asked(case).to(case.backend(1))));
        waits(rig, &all[1]);
        waits(rig, &all[2]);
        be_silent(rig, FragmentValue::LIFETIME_S + 1);
        // Another datagram that happens to have its identification.
        waits(rig, &all[1]);
        assert_eq!(noted(rig).1.held, 1);
        be_silent(rig, FragmentValue::LIFETIME_S + 1);
        let waited = waiting(rig).len();
        rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &sent[0]);
        assert_eq!(waiting(rig).len(), waited, "old ones are not sent");
    });
}

#[test]
fn as_many_wait_as_a_datagram_has_in_full_frames() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        // 64 KiB would not fit into the test's frame; small pieces count the same.
        let cuts: Vec<usize> = (1..48).map(|n| n * 48).collect();
        let frame = asked(case).carrying(&payload(48 * 48));
        let all = fragments(&frame.bytes(), ID, &cuts);
        let most = FragmentValue::MAX_HELD as usize;
        for fragment in &all[1..=most] {
            waits(rig, fragment);
        }
        is_lost(rig, &all[most + 1]);
        is_lost(rig, &all[most + 2]);
        assert_eq!(waiting(rig), all[1..=most]);
        rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &{
            fragments(&frame.to(case.backend(1)).bytes(), ID, &cuts)[0].clone()
        });
        assert_eq!(waiting(rig), Vec::<Vec<u8>>::new());
    });
}

/// A datagram whose second fragment makes a frame of this length.
fn with_second_of(case: Case, frame_len: usize) -> (Frame, Vec<Vec<u8>>) {
    let begin = CUTS[0];
    let around = cut(&asked(case))[1].len() - (CUTS[1] - CUTS[0]);
    let frame = asked(case);
    let header = frame.bytes().len() - frame.l4() - frame.payload.len();
    let frame = frame.carrying(&payload(begin + (frame_len - around) - header));
    let all = fragments(&frame.bytes(), ID, &[begin]);
    assert_eq!(all[1].len(), frame_len);
    (frame, all)
}

#[test]
fn a_frame_that_is_too_long_to_wait_is_lost() {
    each(|rig| {
        rig.serve(1);
        let longest = HeldValue::MAX_LEN;
        let (_, all) = with_second_of(rig.case, longest);
        waits(rig, &all[1]);
        assert_eq!(waiting(rig), all[1..]);
        let (_, all) = with_second_of(rig.case, longest + 1);
        is_lost(rig, &all[1]);
    });
}

#[test]
fn a_long_frame_needs_not_wait_behind_its_first() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let (frame, all) = with_second_of(case, HeldValue::MAX_LEN + 1_000);
        let sent = fragments(&frame.to(case.backend(1)).bytes(), ID, &[CUTS[0]]);
        rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &sent[0]);
        rig.send_bytes(&all[1]).is_bytes(Verdict::Passed, &sent[1]);
    });
}

#[test]
fn a_first_fragment_that_is_too_long_to_be_kept_aside_goes_alone() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let frame = asked(case).carrying(&payload(2_300));
        let shaped = |frame: &Frame| fragments(&frame.bytes(), ID, &[2_200]);
        let (all, sent) = (shaped(&frame), shaped(&frame.to(case.backend(1))));
        waits(rig, &all[1]);
        rig.send_bytes(&all[0]).is_bytes(Verdict::Passed, &sent[0]);
        rig.send_bytes(&all[1]).is_bytes(Verdict::Passed, &sent[1]);
    });
}

#[test]
fn fragments_behind_a_refused_first_wait_for_nothing() {
    each(|rig| {
        let case = rig.case;
        rig.frontend(case.vip(), leading_to(nobody(0)));
        let all = cut(&asked(case));
        let out = rig.send_bytes(&all[0]);
        let told = (Verdict::Redirected, vec![(Reason::NoEndpoint, 1)]);
        assert_eq!((out.verdict, rig.reasons()), told);
        waits(rig, &all[1]);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn an_answer_before_its_first_waits_where_it_leaves() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend_address();
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let answer = answer(case);
        let (all, heard) = (cut(&answer), cut(&answer.from(case.vip())));
        rig.count_anew();
        assert_eq!(rig.run(Hook::TcEgress, &all[2]).verdict, Verdict::Dropped);
        assert_eq!(rig.reasons(), [(Reason::FragmentHeld, 1)]);
        rig.run(Hook::TcEgress, &all[0]).is_bytes(Verdict::Passed, &heard[0]);
        assert_eq!(waiting(rig), Vec::<Vec<u8>>::new());
        rig.run(Hook::TcEgress, &all[1]).is_bytes(Verdict::Passed, &heard[1]);
    });
}
