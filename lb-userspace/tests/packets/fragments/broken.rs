//! Fragments that cannot be right: they pass untouched, counted where they look like ours.

use super::{ID, IN, asked, become_fragments, cut};
use crate::case::Case;
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::fragments;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc(), scene);
}

#[track_caller]
fn untouched(rig: &mut Rig, bytes: &[u8]) {
    rig.count_anew();
    rig.send_bytes(bytes).is_bytes(Verdict::Passed, bytes);
    assert_eq!(rig.reasons(), [(Reason::Malformed, 1)]);
}

/// The shortest transport header.
fn header_len(case: Case) -> usize {
    match case.proto {
        IpProto::TCP => 20,
        IpProto::SCTP => 16,
        _ => 8,
    }
}

#[test]
fn a_first_fragment_without_a_whole_transport_header_is_malformed() {
    each(|rig| {
        rig.serve(1);
        let bytes = asked(rig.case).bytes();
        for cut in (8..header_len(rig.case)).step_by(8) {
            untouched(rig, &fragments(&bytes, ID, &[cut])[0]);
        }
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn a_fragment_that_overlaps_the_transport_header_is_never_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let bytes = asked(case).bytes();
        for known in [false, true] {
            if known {
                rig.send_bytes(&cut(&asked(case))[0]);
            }
            for offset in (8..header_len(case)).step_by(8) {
                untouched(rig, &fragments(&bytes, ID, &[offset])[1]);
            }
        }
        assert_eq!(rig.held.keys().count(), 0);
    });
}

#[test]
fn a_fragment_right_behind_the_transport_header_is_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let offset = header_len(case).next_multiple_of(8);
        rig.send_bytes(&cut(&asked(case))[0]);
        let from = fragments(&asked(case).bytes(), ID, &[offset])[1].clone();
        let to = fragments(&asked(case).to(case.backend(1)).bytes(), ID, &[offset])[1].clone();
        become_fragments(rig, IN, &[from], &[to]);
    });
}

#[test]
fn a_fragment_cut_anywhere_is_never_translated() {
    each(|rig| {
        rig.serve(1);
        for (n, fragment) in cut(&asked(rig.case)).iter().enumerate() {
            let ip = if rig.case.v6 { 54 } else { 34 };
            for len in ip..fragment.len() {
                for hook in [Hook::TcIngress, Hook::TcEgress] {
                    rig.count_anew();
                    let out = rig.run(hook, &fragment[..len]);
                    out.is_bytes(Verdict::Passed, &fragment[..len]);
                    assert_eq!(rig.reasons(), [(Reason::Malformed, 1)], "fragment {n}, {len}");
                }
            }
        }
        assert_eq!(rig.fragments.keys().count() + rig.held.keys().count(), 0);
    });
}
