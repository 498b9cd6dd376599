//! Errors about what a client sent, where its source was kept: they leave by the client's link.

use super::{kinds, lengths, message, quote, too_big, with_check_of};
use crate::case::Case;
use crate::frame::Frame;
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::{Extension, extended, tagged};
use lb_common::algo::tcp_state::Progress;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc(), scene);
}

/// A flow; gives what was asked, and what the first backend got.
fn open(rig: &mut Rig) -> (Frame, Frame) {
    let case = rig.case;
    rig.serve(1);
    let asked = case.opening(case.pod(20_000), case.vip());
    rig.chosen(&asked);
    let asked = case.later(case.pod(20_000), case.vip());
    let sent = asked.to(case.backend(1));
    (asked, sent)
}

#[test]
fn a_router_that_quotes_the_backends_packet_quotes_the_clients() {
    each(|rig| {
        let case = rig.case;
        let (asked, sent) = open(rig);
        let (router, pod) = (case.stranger().ip(), case.pod(0).ip());
        for kind in kinds(case.v6) {
            for len in lengths(&sent) {
                let (theirs, ours) = (quote(&sent, len), quote(&asked, len));
                let ours = with_check_of(ours, &theirs, case);
                let told = message(router, pod, *kind, &ours);
                let out = rig.leave(&message(router, pod, *kind, &theirs));
                assert_eq!(
                    (out.verdict, out.bytes),
                    (Verdict::Passed, told.bytes()),
                    "{kind:?} {len}"
                );
            }
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_error_of_the_backend_itself_comes_from_the_frontend() {
    each(|rig| {
        let case = rig.case;
        let (asked, sent) = open(rig);
        let pod = case.pod(0).ip();
        for kind in kinds(case.v6) {
            for len in lengths(&sent) {
                let (theirs, ours) = (quote(&sent, len), quote(&asked, len));
                let ours = with_check_of(ours, &theirs, case);
                let told = message(case.vip().ip(), pod, *kind, &ours);
                let out = rig.leave(&message(case.backend(1).ip(), pod, *kind, &theirs));
                assert_eq!(
                    (out.verdict, out.bytes),
                    (Verdict::Passed, told.bytes()),
                    "{kind:?} {len}"
                );
            }
        }
    });
}

#[test]
fn an_error_is_translated_as_it_leaves_and_not_before() {
    each(|rig| {
        let case = rig.case;
        let (_, sent) = open(rig);
        let quote = quote(&sent, lengths(&sent)[0]);
        rig.passes(&message(case.stranger().ip(), case.pod(0).ip(), too_big(case.v6), &quote));
    });
}

#[test]
fn an_error_notes_nothing_in_its_flow() {
    each(|rig| {
        let case = rig.case;
        let (_, sent) = open(rig);
        let before = rig.maps.flows().unwrap();
        assert!(before.iter().all(|(_, value)| value.progress == Progress(0)));
        let quote = quote(&sent, lengths(&sent)[0]);
        for kind in kinds(case.v6) {
            rig.leave(&message(case.backend(1).ip(), case.pod(0).ip(), *kind, &quote));
        }
        assert_eq!(rig.maps.flows().unwrap(), before);
    });
}

#[test]
fn an_error_with_tags_keeps_them() {
    each(|rig| {
        let case = rig.case;
        let (asked, sent) = open(rig);
        let len = lengths(&sent)[0];
        let (router, pod, kind) = (case.stranger().ip(), case.pod(0).ip(), too_big(case.v6));
        for tags in [&[(0x8100, 7)][..], &[(0x88a8, 7), (0x8100, 8)]] {
            let shaped = |frame: &Frame| {
                tagged(&message(router, pod, kind, &quote(frame, len)).bytes(), tags)
            };
            let out = rig.run(Hook::TcEgress, &shaped(&sent));
            out.is_bytes(Verdict::Passed, &shaped(&asked));
        }
    });
}

#[test]
fn an_error_behind_extension_headers_keeps_them() {
    each_of(Case::in_tc().filter(|case| case.v6), |rig| {
        let case = rig.case;
        let (asked, sent) = open(rig);
        let len = lengths(&sent)[0];
        let (router, pod, kind) = (case.stranger().ip(), case.pod(0).ip(), too_big(case.v6));
        let padding = |kind| Extension(kind, vec![0, 1, 4, 0, 0, 0, 0]);
        let shaped = |frame: &Frame| {
            let message = message(router, pod, kind, &quote(frame, len)).bytes();
            extended(&message, &[padding(0), padding(60)])
        };
        rig.run(Hook::TcEgress, &shaped(&sent)).is_bytes(Verdict::Passed, &shaped(&asked));
    });
}

#[test]
fn xdp_leaves_errors_to_tc_untouched() {
    each(|rig| {
        let case = rig.case;
        let (asked, sent) = open(rig);
        let answered = asked.between(asked.dst(), asked.src());
        for (to, quoted) in [(case.vip().ip(), &answered), (case.pod(0).ip(), &sent)] {
            let quote = quote(quoted, lengths(quoted)[0]);
            let bytes = message(case.stranger().ip(), to, too_big(case.v6), &quote).bytes();
            rig.run(Hook::Xdp, &bytes).is_bytes(Verdict::Passed, &bytes);
        }
        assert_eq!(rig.reasons(), []);
    });
}
