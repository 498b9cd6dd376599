//! IPv6 extension headers (RFC 8200 section 4): a chain of them stays as it is, and what is behind
//! it is translated.

use crate::case::Case;
use crate::frame::{Frame, L3};
use crate::hook::Hook;
use crate::rig::{Rig, Verdict, each_of, each_routed_of};
use crate::shape::{Extension, claim, extended};
use crate::snat::{asked, client, leaving, node, remote, serve_elsewhere};
use crate::tables::{leading_to, nobody};
use lb_common::verdict::Reason;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ESP: u8 = 50;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;

/// The longest chain that is walked.
const MOST: usize = 6;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc().filter(|case| case.v6), scene);
}

/// Options that are `units` times 8 bytes longer than the shortest: one `PadN` after another.
fn options(kind: u8, units: u8) -> Extension {
    let pads = (0..=units).flat_map(|n| if n == 0 { vec![1, 4, 0, 0, 0, 0] } else { pad() });
    Extension(kind, [vec![units], pads.collect()].concat())
}

fn pad() -> Vec<u8> {
    vec![1, 6, 0, 0, 0, 0, 0, 0]
}

/// A routing header (experimental type, RFC 4727) that has so many segments to go.
fn routing(segments_left: u8) -> Extension {
    let body = [2, 253, segments_left, 0, 0, 0, 0];
    Extension(ROUTING, [&body[..], &[0xfd; 16]].concat())
}

/// An authentication header: its length counts 4 bytes (RFC 4302 section 2.2).
fn authentication() -> Extension {
    let body = [4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    Extension(AUTHENTICATION, [&body[..], &[9; 12]].concat())
}

/// The header of a datagram that is its only fragment (RFC 6946).
fn atomic() -> Extension {
    Extension(FRAGMENT, vec![0, 0, 0, 0xde, 0xad, 0xbe, 0xef])
}

/// Chains with names.
fn chains() -> Vec<(&'static str, Vec<Extension>)> {
    let hop_by_hop = || options(HOP_BY_HOP, 0);
    let destination = |units| options(DESTINATION_OPTIONS, units);
    vec![
        ("hop by hop", vec![hop_by_hop()]),
        ("long hop by hop", vec![options(HOP_BY_HOP, 5)]),
        ("routing", vec![routing(0)]),
        ("destination options", vec![destination(0)]),
        ("authentication", vec![authentication()]),
        ("only fragment", vec![atomic()]),
        ("the order of RFC 8200", {
            let inner = vec![routing(0), atomic(), authentication(), destination(1)];
            [vec![hop_by_hop(), destination(0)], inner].concat()
        }),
        ("as many as are walked", vec![destination(0); MOST]),
        ("as long as is walked", vec![destination(42)]),
    ]
}

/// Sends a frame with a chain, which must come out like this one with the same chain.
#[track_caller]
fn becomes(rig: &mut Rig, hook: Hook, (from, to): (&Frame, &Frame), chain: &[Extension]) {
    let out = rig.run(hook, &extended(&from.bytes(), chain));
    assert_eq!((out.verdict, out.bytes), (Verdict::Passed, extended(&to.bytes(), chain)));
}

#[test]
fn a_chain_stays_and_what_is_behind_it_is_translated_both_ways() {
    each(|rig| {
        let case = rig.case;
        for (port, (name, chain)) in (20_000..).zip(chains()) {
            eprintln!("{name}");
            rig.serve(1);
            let asked = case.opening(case.pod(port), case.vip());
            let more = case.later(case.pod(port), case.vip());
            let answer = case.later(case.backend(1), case.pod(port));
            becomes(rig, Hook::TcIngress, (&asked, &asked.to(case.backend(1))), &chain);
            becomes(rig, Hook::TcIngress, (&more, &more.to(case.backend(1))), &chain);
            becomes(rig, Hook::TcEgress, (&answer, &answer.from(case.vip())), &chain);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_flow_is_the_same_with_and_without_a_chain() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let asked = case.opening(case.pod(20_000), case.vip());
        let more = case.later(case.pod(20_000), case.vip());
        let backend = rig.chosen(&asked);
        becomes(rig, Hook::TcIngress, (&more, &more.to(backend)), &[options(HOP_BY_HOP, 0)]);
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
    });
}

#[test]
fn the_chain_is_counted_too() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let [before, _] = rig.traffic();
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.send_bytes(&extended(&asked.bytes(), &[routing(0)]));
        let [now, _] = rig.traffic();
        assert_eq!(now.bytes - before.bytes, asked.counted_len() + 24);
    });
}

#[test]
fn a_replaced_source_leaves_with_its_chain() {
    each_routed_of(Case::in_tc().filter(|case| case.v6), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let chain = [options(HOP_BY_HOP, 1), options(DESTINATION_OPTIONS, 0)];
        let out = rig.send_bytes(&extended(&asked(case).bytes(), &chain));
        let sent = asked(case).between(node(case, 20_000), remote(case));
        let expected = extended(&leaving(case, uplink, &sent).bytes(), &chain);
        assert_eq!((out.verdict, out.bytes), (Verdict::Redirected, expected));
        let answer = case.later(remote(case), node(case, 20_000));
        let out = rig.send_bytes(&extended(&answer.bytes(), &chain));
        let heard = leaving(case, uplink, &answer.between(case.vip(), client(case)));
        let expected = extended(&heard.bytes(), &chain);
        assert_eq!((out.verdict, out.bytes), (Verdict::Redirected, expected));
    });
}

/// A frame to the Service.
fn to_service(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip())
}

/// Bytes that pass as they are, in and out; tells what was counted.
#[track_caller]
fn untouched(rig: &mut Rig, bytes: &[u8]) -> Vec<(Reason, u64)> {
    rig.count_anew();
    for hook in [Hook::TcIngress, Hook::TcEgress] {
        let out = rig.run(hook, bytes);
        assert_eq!((out.verdict, &out.bytes[..]), (Verdict::Passed, bytes), "{hook:?}");
    }
    assert_eq!(rig.maps.flows().unwrap(), []);
    rig.reasons()
}

#[test]
fn more_headers_than_are_walked_pass_untouched_and_are_counted() {
    each(|rig| {
        rig.serve(1);
        let frame = to_service(rig.case).bytes();
        let many = vec![options(DESTINATION_OPTIONS, 0); MOST + 1];
        assert_eq!(untouched(rig, &extended(&frame, &many)), [(Reason::Headers, 2)]);
        for units in [43, 100, 255] {
            let long = [options(DESTINATION_OPTIONS, units)];
            assert_eq!(untouched(rig, &extended(&frame, &long)), [(Reason::Headers, 2)], "{units}");
        }
        let many_long = vec![options(DESTINATION_OPTIONS, 9); 5];
        assert_eq!(untouched(rig, &extended(&frame, &many_long)), [(Reason::Headers, 2)]);
    });
}

#[test]
fn a_header_longer_than_the_packet_is_malformed() {
    each(|rig| {
        rig.serve(1);
        for (name, chain) in chains() {
            let whole = extended(&to_service(rig.case).bytes(), &chain);
            let begin = L3 + 40;
            for len in begin..begin + 8 {
                // Cut, and cut with the length put right.
                let mut cut = whole[..len].to_vec();
                assert_eq!(untouched(rig, &cut), [(Reason::Malformed, 2)], "{name} {len}");
                claim(&mut cut, len - begin);
                assert_eq!(untouched(rig, &cut), [(Reason::Malformed, 2)], "{name} {len}");
            }
        }
    });
}

#[test]
fn a_chain_cut_anywhere_is_never_translated() {
    each(|rig| {
        rig.serve(1);
        let frame = to_service(rig.case);
        for (name, chain) in chains() {
            let whole = extended(&frame.bytes(), &chain);
            for len in L3 + 40..whole.len() {
                let mut cut = whole[..len].to_vec();
                assert_eq!(untouched(rig, &cut), [(Reason::Malformed, 2)], "{name} cut to {len}");
                // With the length put right, data may end anywhere; headers may not.
                if len < whole.len() - frame.payload.len() {
                    claim(&mut cut, len - L3 - 40);
                    assert_eq!(untouched(rig, &cut), [(Reason::Malformed, 2)], "{name} {len}");
                }
            }
        }
    });
}

#[test]
fn what_is_no_transport_header_passes_uncounted() {
    each(|rig| {
        rig.serve(1);
        // Encrypted, nothing, GRE, IPv6 in IPv6, mobility, HIP, shim6.
        for kind in [ESP, NO_NEXT_HEADER, 47, 41, 135, 139, 140, 253] {
            let mut frame = to_service(rig.case).bytes();
            frame[L3 + 6] = kind;
            assert_eq!(untouched(rig, &frame), [], "{kind}");
            for (name, chain) in chains() {
                assert_eq!(untouched(rig, &extended(&frame, &chain)), [], "{kind} after {name}");
            }
        }
    });
}

#[test]
fn a_packet_that_has_segments_to_go_is_for_somebody_else() {
    each(|rig| {
        rig.serve(1);
        // RFC 8200 section 8.1: its checksum counts the last address of the route.
        for left in [1, 2, 255] {
            let frame = extended(&to_service(rig.case).bytes(), &[routing(left)]);
            assert_eq!(untouched(rig, &frame), [], "{left}");
        }
    });
}

#[test]
fn a_datagram_with_a_chain_is_refused_silently() {
    each(|rig| {
        let case = rig.case;
        rig.frontend(case.vip(), leading_to(nobody(0)));
        let out = rig.send_bytes(&extended(&to_service(case).bytes(), &[routing(0)]));
        // Their quote would need the chain too; a reset quotes nothing.
        let verdict = if case.is_tcp() { Verdict::Redirected } else { Verdict::Dropped };
        assert_eq!((out.verdict, rig.reasons()), (verdict, vec![(Reason::NoEndpoint, 1)]));
    });
}

#[test]
fn xdp_leaves_a_chain_to_tc_untouched() {
    each_of(Case::all().filter(|case| case.v6 && case.is_xdp()), |rig| {
        rig.serve(1);
        for (name, chain) in chains() {
            let bytes = extended(&to_service(rig.case).bytes(), &chain);
            let out = rig.send_bytes(&bytes);
            assert_eq!((out.verdict, out.bytes), (Verdict::Passed, bytes), "{name}");
        }
        assert_eq!((rig.maps.flows().unwrap(), rig.reasons()), (vec![], vec![]));
    });
}
