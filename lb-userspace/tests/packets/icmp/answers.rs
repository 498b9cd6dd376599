//! Errors about what a client was answered, where its source was kept: they come in by the
//! client's link and go on to the backend.

use super::{kinds, lengths, message, quote, too_big, with_check_of};
use crate::case::Case;
use crate::frame::Frame;
use crate::rig::{Rig, Verdict, each_of};
use crate::tables::{leading_to, nobody};

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc(), scene);
}

/// A flow; gives what the backend answered, and what the client heard.
fn open(rig: &mut Rig) -> (Frame, Frame) {
    let case = rig.case;
    rig.serve(1);
    rig.chosen(&case.opening(case.pod(20_000), case.vip()));
    let answer = case.later(case.backend(1), case.pod(20_000));
    let heard = answer.from(case.vip());
    rig.leave(&answer).is(Verdict::Passed, &heard);
    (answer, heard)
}

#[test]
fn an_error_that_quotes_the_frontends_packet_quotes_the_backends() {
    each(|rig| {
        let case = rig.case;
        let (answer, heard) = open(rig);
        // The client itself, and a router between.
        for from in [case.pod(0).ip(), case.stranger().ip()] {
            for kind in kinds(case.v6) {
                for len in lengths(&heard) {
                    let (theirs, ours) = (quote(&heard, len), quote(&answer, len));
                    let ours = with_check_of(ours, &theirs, case);
                    let told = message(from, case.backend(1).ip(), *kind, &ours);
                    let out = rig.send(&message(from, case.vip().ip(), *kind, &theirs));
                    let expected = (Verdict::Passed, told.bytes());
                    assert_eq!((out.verdict, out.bytes), expected, "{kind:?} {len}");
                }
            }
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_error_to_the_frontend_is_nothing_where_it_leaves() {
    each(|rig| {
        let case = rig.case;
        let (_, heard) = open(rig);
        let quote = quote(&heard, lengths(&heard)[0]);
        let error = message(case.pod(0).ip(), case.vip().ip(), too_big(case.v6), &quote);
        rig.leave(&error).is_bytes(Verdict::Passed, &error.bytes());
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_error_after_the_backend_is_gone_still_goes_there() {
    each(|rig| {
        let case = rig.case;
        let (answer, heard) = open(rig);
        rig.frontend(case.vip(), leading_to(nobody(0)));
        let len = lengths(&heard)[0];
        let (kind, from) = (too_big(case.v6), case.pod(0).ip());
        let told = message(from, case.backend(1).ip(), kind, &quote(&answer, len));
        let out = rig.send(&message(from, case.vip().ip(), kind, &quote(&heard, len)));
        out.is_bytes(Verdict::Passed, &told.bytes());
    });
}
