//! Fragments of SCTP packets: the CRC in the first covers bytes that have not come, so it can be
//! kept, and cannot be changed.

use super::{IN, OUT, become_fragments, cut};
use crate::case::{Case, PORT};
use crate::frame::{Frame, payload};
use crate::rig::{Rig, Verdict, each_of};
use crate::tables::{HERE, leading_to};
use lb_common::verdict::Reason;
use std::net::SocketAddr;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::sctp(), scene);
}

fn asked(case: Case) -> Frame {
    Frame::init(case.pod(20_000), case.vip())
}

/// A packet of three fragments in the middle of an association.
fn data(case: Case) -> Frame {
    Frame::chunk(case.pod(20_000), case.vip()).carrying(&payload(101))
}

#[test]
fn fragments_whose_port_stays_follow_their_first_both_ways() {
    each(|rig| {
        let case = rig.case;
        let backend = SocketAddr::new(case.backend(1).ip(), PORT);
        let choice = rig.behind(&[backend], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.chosen(&asked(case));
        become_fragments(rig, IN, &cut(&data(case)), &cut(&data(case).to(backend)));
        let answer = data(case).between(backend, case.pod(20_000));
        become_fragments(rig, OUT, &cut(&answer), &cut(&answer.from(case.vip())));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_first_fragment_whose_port_changes_is_lost_and_counted() {
    each(|rig| {
        rig.serve(1);
        rig.chosen(&asked(rig.case));
        rig.count_anew();
        let out = rig.send_bytes(&cut(&data(rig.case))[0]);
        let reasons = vec![(Reason::FragmentLost, 1)];
        assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, reasons));
    });
}

#[test]
fn fragments_without_a_checksum_follow_their_first_to_any_port() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&asked(case));
        let data = Frame { unchecked: true, ..data(case) };
        become_fragments(rig, IN, &cut(&data), &cut(&data.to(case.backend(1))));
        assert_eq!(rig.reasons(), []);
    });
}
