//! What may be quoted: whatever the programs translate.

use super::{lengths, message, quote, too_big};
use crate::case::Case;
use crate::checksum::balanced;
use crate::frame::{Frame, L3, payload};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::{Extension, extended, fragments};
use etherparse::IpHeaders;
use lb_common::wire::IpProto;

/// A flow, and a message to its client that quotes these bytes of a sent packet, which must become
/// these bytes of the asked one.
#[track_caller]
fn becomes(rig: &mut Rig, theirs: &[u8], ours: &[u8]) {
    let case = rig.case;
    rig.serve(1);
    rig.chosen(&case.opening(case.pod(20_000), case.vip()));
    let (router, pod, kind) = (case.stranger().ip(), case.pod(0).ip(), too_big(case.v6));
    let told = message(router, pod, kind, ours).bytes();
    rig.leave(&message(router, pod, kind, theirs)).is_bytes(Verdict::Passed, &told);
}

/// What was asked.
fn asked(case: Case) -> Frame {
    case.later(case.pod(20_000), case.vip())
}

fn cases(wanted: impl Fn(Case) -> bool) -> impl Iterator<Item = Case> {
    Case::in_tc().filter(move |case| case.proto != IpProto::SCTP && wanted(*case))
}

#[test]
fn ipv4_options_may_be_quoted() {
    each_of(cases(|case| !case.v6), |rig| {
        let case = rig.case;
        for words in 1..=10 {
            let mut asked = asked(case);
            if let IpHeaders::Ipv4(ip, _) = &mut *asked.ip {
                ip.options = vec![1; words * 4].as_slice().try_into().unwrap();
            }
            let sent = asked.to(case.backend(1));
            for len in lengths(&sent).into_iter().filter(|len| *len != sent.l4() - L3 + 17) {
                becomes(rig, &quote(&sent, len), &quote(&asked, len));
            }
        }
    });
}

#[test]
fn ipv6_extension_headers_may_be_quoted() {
    each_of(cases(|case| case.v6), |rig| {
        let case = rig.case;
        let padding = |kind| Extension(kind, vec![0, 1, 4, 0, 0, 0, 0]);
        let atomic = Extension(44, vec![0, 0, 0, 1, 2, 3, 4]);
        let routing = Extension(43, [&[2, 253, 0, 0, 0, 0, 0][..], &[0xfd; 16]].concat());
        let authentication = Extension(51, [&[4][..], &[0; 22]].concat());
        let first = Extension(44, vec![0, 0, 1, 1, 2, 3, 4]);
        let chains = [
            vec![padding(0)],
            vec![padding(60), padding(60)],
            vec![atomic],
            vec![first],
            vec![padding(0), padding(60), routing, authentication, padding(60)],
        ];
        for chain in chains {
            let shaped = |frame: &Frame| extended(&frame.hops(7).bytes(), &chain)[L3..].to_vec();
            let (theirs, ours) = (shaped(&asked(case).to(case.backend(1))), shaped(&asked(case)));
            let payload = asked(case).payload.len();
            for cut in [0, payload, payload + if case.is_tcp() { 4 } else { 0 }] {
                becomes(rig, &theirs[..theirs.len() - cut], &ours[..ours.len() - cut]);
            }
        }
    });
}

#[test]
fn a_first_fragment_may_be_quoted() {
    each_of(cases(|_| true), |rig| {
        let case = rig.case;
        let asked = asked(case).carrying(&payload(101)).hops(7);
        let first = |frame: &Frame| fragments(&frame.bytes(), 9, &[48])[0][L3..].to_vec();
        becomes(rig, &first(&asked.to(case.backend(1))), &first(&asked));
    });
}

#[test]
fn a_later_fragment_that_is_quoted_has_no_ports() {
    each_of(Case::in_tc(), |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        // It begins with the bytes of the ports.
        let sent = asked(case).to(case.backend(1));
        let ports = sent.bytes()[sent.l4()..sent.l4() + 4].repeat(20);
        let later = &fragments(&sent.carrying(&ports).bytes(), 9, &[48])[1][L3..];
        let error = message(case.stranger().ip(), case.pod(0).ip(), too_big(case.v6), later);
        rig.leave(&error).is_bytes(Verdict::Passed, &error.bytes());
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_absent_udp_checksum_in_a_quote_stays_absent() {
    each_of(cases(|case| !case.is_tcp() && !case.v6), |rig| {
        let case = rig.case;
        let asked = Frame { unchecked: true, ..asked(case) };
        let sent = asked.to(case.backend(1));
        for len in lengths(&sent) {
            becomes(rig, &quote(&sent, len), &quote(&asked, len));
        }
    });
}

#[test]
fn udp_checksums_of_all_ones_in_a_quote_are_zeros() {
    each_of(cases(|case| !case.is_tcp()), |rig| {
        let case = rig.case;
        for asked in [balanced(asked(case)), balanced(asked(case).to(case.backend(1)))] {
            let asked = asked.to(case.vip());
            let sent = asked.to(case.backend(1));
            for len in lengths(&sent) {
                becomes(rig, &quote(&sent, len), &quote(&asked, len));
            }
        }
    });
}

#[test]
fn any_bytes_may_follow_the_quoted_packet() {
    each_of(cases(|_| true), |rig| {
        let case = rig.case;
        let all = |frame: &Frame| quote(frame, frame.bytes().len() - L3);
        let (theirs, ours) = (all(&asked(case).to(case.backend(1))), all(&asked(case)));
        // Extensions of the message (RFC 4884) are none of the packet's.
        for more in [1, 2, 3, 100, 131] {
            let more = payload(more);
            becomes(rig, &[&theirs[..], &more].concat(), &[&ours[..], &more].concat());
        }
    });
}

#[test]
fn a_quote_of_an_answer_that_leaves_is_nothing() {
    each_of(Case::in_tc(), |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let answer = case.later(case.backend(1), case.pod(20_000));
        let quote = quote(&answer, lengths(&answer)[0]);
        let error = message(case.pod(0).ip(), case.backend(1).ip(), too_big(case.v6), &quote);
        for hook in [Hook::TcIngress, Hook::TcEgress] {
            rig.run(hook, &error.bytes()).is_bytes(Verdict::Passed, &error.bytes());
        }
        assert_eq!(rig.reasons(), []);
    });
}
