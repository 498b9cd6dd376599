//! Flows to a backend that is gone.

use super::{answer, asked, more, open, second_only};
use crate::case::Case;
use crate::rig::{Rig, Verdict, each_where};
use lb_common::layout::backend::BackendValue;
use lb_userspace::reconcile::Edit;

/// From now on only backend 2 is chosen, and the first one's cell belongs to somebody else.
fn first_is_gone(rig: &mut Rig) {
    let case = rig.case;
    let next = BackendValue { generation: 2, ..rig.backend_value(case.backend(7)) };
    rig.edit(Edit::Backend(1, next));
    second_only(rig);
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
