//! Messages that are no errors about a flow: they pass as they are, whatever they hold.

use super::{kinds, lengths, message, quote, too_big};
use crate::case::Case;
use crate::frame::{Frame, L3};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of};
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc(), scene);
}

/// A flow; gives what the backend got.
fn open(rig: &mut Rig) -> Frame {
    let case = rig.case;
    rig.serve(1);
    rig.chosen(&case.opening(case.pod(20_000), case.vip()));
    case.later(case.pod(20_000), case.backend(1))
}

/// Bytes that pass as they are, out and in; tells what was counted.
#[track_caller]
fn untouched(rig: &mut Rig, bytes: &[u8]) -> Vec<(Reason, u64)> {
    let flows = rig.maps.flows().unwrap();
    for hook in [Hook::TcIngress, Hook::TcEgress] {
        rig.count_anew();
        rig.run(hook, bytes).is_bytes(Verdict::Passed, bytes);
    }
    assert_eq!(rig.maps.flows().unwrap(), flows);
    rig.reasons()
}

/// An error to the client that quotes these bytes.
fn error(case: Case, quote: &[u8]) -> Frame {
    message(case.stranger().ip(), case.pod(0).ip(), too_big(case.v6), quote)
}

const MALFORMED: [(Reason, u64); 1] = [(Reason::Malformed, 1)];

#[test]
fn errors_of_unknown_flows_pass_uncounted() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let strangers =
            [sent.from(case.pod(20_001)), sent.to(case.backend(2)), sent.to(case.stranger())];
        for stranger in &strangers {
            for kind in kinds(case.v6) {
                let quote = quote(stranger, lengths(stranger)[0]);
                let error = message(case.stranger().ip(), case.pod(0).ip(), *kind, &quote);
                assert_eq!(untouched(rig, &error.bytes()), []);
            }
        }
    });
}

#[test]
fn other_messages_pass_uncounted_even_if_they_quote() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let quote = quote(&sent, lengths(&sent)[0]);
        let errors: Vec<u8> = kinds(case.v6).iter().map(|kind| kind.0).collect();
        for kind in (0..=255).filter(|kind| !errors.contains(kind)) {
            let told = message(case.stranger().ip(), case.pod(0).ip(), (kind, 0, [0; 4]), &quote);
            assert_eq!(untouched(rig, &told.bytes()), [], "{kind}");
        }
    });
}

#[test]
fn an_error_of_the_other_family_is_nothing() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let mut bytes = error(case, &quote(&sent, lengths(&sent)[0])).bytes();
        // ICMP over IPv6, ICMPv6 over IPv4.
        bytes[L3 + if case.v6 { 6 } else { 9 }] = if case.v6 { 1 } else { 58 };
        assert_eq!(untouched(rig, &bytes), []);
    });
}

#[test]
fn an_error_that_quotes_somebody_elses_packet_is_malformed() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let quote = quote(&sent, lengths(&sent)[0]);
        for to in [case.other_pod(1, 0).ip(), case.backend(1).ip(), case.vip().ip()] {
            let error = message(case.stranger().ip(), to, too_big(case.v6), &quote);
            assert_eq!(untouched(rig, &error.bytes()), MALFORMED, "{to}");
        }
    });
}

#[test]
fn a_quote_cut_before_its_ports_end_is_never_translated() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        for len in 0..lengths(&sent)[0] {
            let error = error(case, &quote(&sent, len));
            assert_eq!(untouched(rig, &error.bytes()), MALFORMED, "{len} bytes");
        }
    });
}

#[test]
fn a_message_cut_anywhere_is_never_translated() {
    each(|rig| {
        let sent = open(rig);
        let whole = error(rig.case, &quote(&sent, lengths(&sent)[0]));
        for len in whole.l4()..whole.bytes().len() {
            let counted = untouched(rig, &whole.bytes()[..len]);
            assert_eq!(counted, MALFORMED, "{len} bytes");
        }
    });
}

#[test]
fn a_quote_that_is_no_packet_is_never_translated() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let whole = quote(&sent, lengths(&sent)[0]);
        for version in (0..16).filter(|version| *version != if case.v6 { 6 } else { 4 }) {
            let mut quote = whole.clone();
            quote[0] = quote[0] & 0x0f | version << 4;
            assert_eq!(untouched(rig, &error(case, &quote).bytes()), MALFORMED);
        }
        for rubbish in [vec![0; 200], vec![0xff; 200], vec![0x45; 200], vec![0x60; 200]] {
            let counted = untouched(rig, &error(case, &rubbish).bytes());
            assert!(counted.is_empty() || counted == MALFORMED, "{counted:?}");
        }
    });
}

#[test]
fn an_ipv4_header_length_that_lies_in_a_quote_is_never_translated() {
    each_of(Case::in_tc().filter(|case| !case.v6), |rig| {
        let case = rig.case;
        let sent = open(rig);
        let whole = quote(&sent, lengths(&sent)[0]);
        for words in (0..16).filter(|words| *words != 5) {
            let mut quote = whole.clone();
            quote[0] = 0x40 | words;
            assert_eq!(untouched(rig, &error(case, &quote).bytes()), MALFORMED, "{words} words");
        }
    });
}

#[test]
fn a_quoted_chain_that_lies_is_never_translated() {
    each_of(Case::in_tc().filter(|case| case.v6), |rig| {
        let case = rig.case;
        let sent = open(rig);
        let whole = quote(&sent, lengths(&sent)[0]);
        for kind in [0, 43, 44, 51, 60] {
            let mut quote = whole.clone();
            quote[6] = kind;
            let counted = untouched(rig, &error(case, &quote).bytes());
            let headers = [(Reason::Headers, 1)];
            let known = counted.is_empty() || counted == MALFORMED || counted == headers;
            assert!(known, "{counted:?}");
        }
    });
}

#[test]
fn protocols_without_flows_in_a_quote_are_nothing() {
    each(|rig| {
        let case = rig.case;
        let sent = open(rig);
        let whole = quote(&sent, lengths(&sent)[0]);
        let at = if case.v6 { 6 } else { 9 };
        let flows = [IpProto::TCP, IpProto::UDP, IpProto::SCTP].map(|proto| proto.0);
        let walked = if case.v6 { &[0, 43, 44, 51, 60][..] } else { &[] };
        for proto in (0..=255).filter(|p| !flows.contains(p) && !walked.contains(p)) {
            let mut quote = whole.clone();
            quote[at] = proto;
            assert_eq!(untouched(rig, &error(case, &quote).bytes()), [], "{proto}");
        }
        for proto in flows.into_iter().filter(|proto| *proto != case.proto.0) {
            let mut quote = whole.clone();
            quote[at] = proto;
            assert_eq!(untouched(rig, &error(case, &quote).bytes()), [], "{proto}");
        }
    });
}
