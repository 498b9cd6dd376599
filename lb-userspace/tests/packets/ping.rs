//! Echo requests (RFC 792, RFC 4443 section 4) to a virtual address are answered where that is
//! asked for.

use crate::case::Case;
use crate::frame::{Frame, NODE_MAC, PEER_MAC, payload};
use crate::hook::Hook;
use crate::icmp::{Kind, message};
use crate::rig::{Rig, Verdict, each_of};
use crate::shape::{Extension, extended, fragments, tagged};
use etherparse::IpHeaders;
use lb_common::layout::address::AddressValue;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;
use lb_userspace::reconcile::Edit;

/// Identifier and sequence number.
const ID: [u8; 4] = [0xab, 0xcd, 0, 7];

/// Both families: an echo has no transport protocol.
fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::in_tc().filter(|case| case.proto == IpProto::TCP), scene);
}

fn request(v6: bool) -> Kind {
    (if v6 { 128 } else { 8 }, 0, ID)
}

fn reply(v6: bool) -> Kind {
    (if v6 { 129 } else { 0 }, 0, ID)
}

/// An echo request of a pod to the Service's address.
fn ping(case: Case, payload: &[u8]) -> Frame {
    message(case.pod(0).ip(), case.vip().ip(), request(case.v6), payload)
}

/// Its answer.
fn pong(case: Case, payload: &[u8]) -> Frame {
    let pong = message(case.vip().ip(), case.pod(0).ip(), reply(case.v6), payload);
    pong.hops(64).over((NODE_MAC, PEER_MAC))
}

/// Says what the Service's address means.
fn mean(rig: &mut Rig, bits: u32) {
    rig.edit(Edit::Address(rig.case.vip().ip().into(), bits));
}

/// An address that answers.
fn answering(rig: &mut Rig) {
    rig.serve(1);
    mean(rig, AddressValue::FRONTEND | AddressValue::CLUSTER_IP | AddressValue::ANSWERS_PING);
}

#[test]
fn an_echo_request_is_answered_with_its_payload() {
    each(|rig| {
        answering(rig);
        for len in [0, 1, 2, 55, 56, 1_400, 3_001] {
            rig.count_anew();
            let payload = payload(len);
            let out = rig.send(&ping(rig.case, &payload));
            out.is_bytes(Verdict::Redirected, &pong(rig.case, &payload).bytes());
            assert_eq!(rig.reasons(), [(Reason::Echo, 1)]);
        }
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn the_last_hop_is_enough_for_an_answer() {
    each(|rig| {
        answering(rig);
        for hops in [1, 255] {
            let out = rig.send(&ping(rig.case, b"12345678").hops(hops));
            out.is_bytes(Verdict::Redirected, &pong(rig.case, b"12345678").bytes());
        }
    });
}

#[test]
fn a_checksum_that_was_wrong_stays_wrong() {
    each(|rig| {
        answering(rig);
        let (ping, pong) = (ping(rig.case, b"12345678"), pong(rig.case, b"12345678"));
        let at = ping.l4() + 8;
        let (mut asked, mut told) = (ping.bytes(), pong.bytes());
        (asked[at], told[at]) = (0, 0);
        rig.send_bytes(&asked).is_bytes(Verdict::Redirected, &told);
    });
}

#[test]
fn tags_options_and_extension_headers_stay_on_an_answer() {
    each(|rig| {
        answering(rig);
        let case = rig.case;
        let (mut ping, mut pong) = (ping(case, b"odd"), pong(case, b"odd"));
        for frame in [&mut ping, &mut pong] {
            if let IpHeaders::Ipv4(ip, _) = &mut *frame.ip {
                ip.options = [1, 1, 1, 0].into();
            }
        }
        let shaped = |frame: &Frame| {
            let bytes = frame.bytes();
            let chain = [Extension(60, vec![0, 1, 4, 0, 0, 0, 0])];
            tagged(&if case.v6 { extended(&bytes, &chain) } else { bytes }, &[(0x8100, 7)])
        };
        rig.send_bytes(&shaped(&ping)).is_bytes(Verdict::Redirected, &shaped(&pong));
    });
}

#[test]
fn an_address_that_does_not_answer_lets_it_pass() {
    each(|rig| {
        rig.serve(1);
        let others = [
            AddressValue::FRONTEND,
            AddressValue::CLUSTER_IP,
            AddressValue::NODE_PORTS,
            AddressValue::BACKEND,
            0,
        ];
        for bits in others {
            mean(rig, bits);
            rig.passes(&ping(rig.case, b"12345678"));
        }
    });
}

#[test]
fn only_what_comes_in_is_answered() {
    each(|rig| {
        answering(rig);
        let ping = ping(rig.case, b"12345678");
        rig.leave(&ping).is_bytes(Verdict::Passed, &ping.bytes());
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn other_messages_to_the_address_pass() {
    each(|rig| {
        answering(rig);
        let case = rig.case;
        for kind in (0..=255).filter(|kind| *kind != request(case.v6).0) {
            rig.count_anew();
            let told = message(case.pod(0).ip(), case.vip().ip(), (kind, 0, ID), b"12345678");
            let out = rig.send(&told);
            out.is_bytes(Verdict::Passed, &told.bytes());
            // An error has to quote something.
            let counted = rig.reasons();
            assert!(counted.is_empty() || counted == [(Reason::Malformed, 1)], "{kind}");
        }
    });
}

#[test]
fn an_echo_request_in_fragments_passes() {
    each(|rig| {
        answering(rig);
        for fragment in fragments(&ping(rig.case, &payload(200)).bytes(), 9, &[48, 96]) {
            rig.send_bytes(&fragment).is_bytes(Verdict::Passed, &fragment);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_echo_request_cut_before_its_end_passes() {
    each(|rig| {
        answering(rig);
        let ping = ping(rig.case, &[]);
        for len in ping.l4()..ping.bytes().len() {
            rig.count_anew();
            let cut = &ping.bytes()[..len];
            rig.send_bytes(cut).is_bytes(Verdict::Passed, cut);
            assert_eq!(rig.reasons(), [(Reason::Malformed, 1)], "{len} bytes");
        }
    });
}

#[test]
fn xdp_leaves_it_to_tc_untouched() {
    each(|rig| {
        answering(rig);
        let bytes = ping(rig.case, b"12345678").bytes();
        rig.run(Hook::Xdp, &bytes).is_bytes(Verdict::Passed, &bytes);
        assert_eq!(rig.reasons(), []);
    });
}
