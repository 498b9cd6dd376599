//! What a client is told whose packet cannot go on by our hand: "too big" with the size that would
//! fit (RFC 1191 section 4, RFC 4443 section 3.2), or "time exceeded" (RFC 792, RFC 4443 section
//! 3.3). The node says it, about the packet as the client knows it.

use crate::case::{Case, TARGET_PORT};
use crate::frame::{Frame, L3, NODE_MAC, PEER_MAC, payload};
use crate::icmp::{self, Kind, message, quote};
use crate::network::{Link, set_mtu};
use crate::rig::{LINK, Rig, Verdict, each_of, each_routed_of};
use crate::shape::{Extension, extended, fragments, tagged};
use crate::snat::{asked, client, leaving, node, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to};
use etherparse::IpHeaders;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;
use std::net::IpAddr;

/// What the uplink carries, in bytes from the IP header on.
const MTU: u16 = 1_280;

fn each(scene: impl Fn(&mut Rig, &Link)) {
    each_routed_of(Case::in_tc(), |rig, uplink| {
        set_mtu(*uplink, MTU.into());
        serve_elsewhere(rig);
        scene(rig, uplink);
    });
}

/// "Too big" for the uplink.
fn too_big(v6: bool) -> Kind {
    let [high, low] = MTU.to_be_bytes();
    if v6 { (2, 0, [0, 0, high, low]) } else { (3, 4, [0, 0, high, low]) }
}

fn time_exceeded(v6: bool) -> Kind {
    if v6 { (3, 0, [0; 4]) } else { (11, 0, [0; 4]) }
}

/// A frame of so many bytes from the IP header on.
fn sized(frame: &Frame, len: u16) -> Frame {
    let headers = frame.bytes().len() - L3 - frame.payload.len();
    frame.carrying(&payload(usize::from(len) - headers))
}

/// What the node tells whoever sent this packet.
fn told(from: IpAddr, about: &Frame, kind: Kind) -> Frame {
    let quote = about.bytes()[L3..about.l4() + 8].to_vec();
    let mut told = message(from, about.src().ip(), kind, &quote).hops(64);
    match &mut *told.ip {
        IpHeaders::Ipv4(ip, _) => {
            (ip.dscp, ip.ecn) = (0.try_into().unwrap(), 0.try_into().unwrap());
            (ip.identification, ip.dont_fragment) = (0, true);
        }
        IpHeaders::Ipv6(ip, _) => {
            (ip.traffic_class, ip.flow_label) = (0, 0.try_into().unwrap());
        }
    }
    told.over((NODE_MAC, PEER_MAC))
}

/// Sends a packet whose sender must be told.
#[track_caller]
fn is_told(rig: &mut Rig, about: &Frame, kind: Kind, reason: Reason) {
    rig.count_anew();
    let told = told(rig.case.node(), about, kind);
    rig.send(about).is_bytes(Verdict::Redirected, &told.bytes());
    assert_eq!(rig.reasons(), [(reason, 1)]);
}

/// Sends bytes that are dropped without a word.
#[track_caller]
fn is_dropped(rig: &mut Rig, bytes: &[u8], reason: Reason) {
    rig.count_anew();
    let out = rig.send_bytes(bytes);
    assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, vec![(reason, 1)]));
}

/// A later packet of the client.
fn more(case: Case) -> Frame {
    case.later(client(case), case.vip())
}

/// What the remote backend answers.
fn answer(case: Case) -> Frame {
    case.later(remote(case), node(case, 20_000))
}

#[test]
fn a_packet_that_is_too_big_for_the_leaving_link_is_told_the_size() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        for len in [3_000, 1_500, MTU + 2, MTU + 1] {
            let big = sized(&more(case), len);
            is_told(rig, &big, too_big(case.v6), Reason::TooBig);
        }
    });
}

#[test]
fn a_first_packet_that_is_too_big_is_told_the_size_too() {
    each(|rig, _| {
        let case = rig.case;
        for (port, len) in (20_000..).zip([3_000, 1_500, MTU + 1]) {
            let big = sized(&asked(case).from(case.on_uplink(1, port)), len);
            is_told(rig, &big, too_big(case.v6), Reason::TooBig);
        }
    });
}

#[test]
fn a_packet_that_just_fits_goes_on() {
    each(|rig, uplink| {
        let case = rig.case;
        for frame in [asked(case), more(case)] {
            for len in [MTU - 1, MTU] {
                let fits = sized(&frame, len);
                let sent = fits.between(node(case, 20_000), remote(case));
                let sent = leaving(case, uplink, &sent);
                rig.send(&fits).is_bytes(Verdict::Redirected, &sent.bytes());
            }
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_answer_that_is_too_big_is_told_to_the_backend() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        is_told(rig, &sized(&answer(case), 1_500), too_big(case.v6), Reason::TooBig);
    });
}

#[test]
fn a_packet_that_may_be_fragmented_is_told_the_size_too() {
    each_routed_of(Case::in_tc().filter(|case| !case.v6), |rig, uplink| {
        set_mtu(*uplink, MTU.into());
        serve_elsewhere(rig);
        let mut big = sized(&asked(rig.case), 1_500);
        if let IpHeaders::Ipv4(ip, _) = &mut *big.ip {
            ip.dont_fragment = false;
        }
        is_told(rig, &big, too_big(false), Reason::TooBig);
    });
}

#[test]
fn the_last_hop_of_a_masqueraded_packet_ends_here_and_the_client_is_told() {
    each(|rig, _| {
        let case = rig.case;
        for hops in [0, 1] {
            is_told(rig, &asked(case).hops(hops), time_exceeded(case.v6), Reason::HopLimit);
        }
        rig.send(&asked(case));
        for hops in [0, 1] {
            is_told(rig, &more(case).hops(hops), time_exceeded(case.v6), Reason::HopLimit);
            is_told(rig, &answer(case).hops(hops), time_exceeded(case.v6), Reason::HopLimit);
        }
    });
}

#[test]
fn a_packet_that_is_too_big_and_at_its_last_hop_is_told_the_latter() {
    each(|rig, _| {
        let big = sized(&asked(rig.case), 1_500).hops(1);
        is_told(rig, &big, time_exceeded(rig.case.v6), Reason::HopLimit);
    });
}

#[test]
fn a_client_that_is_its_own_backend_is_told_too() {
    each_of(Case::in_tc(), |rig| {
        let case = rig.case;
        let choice = rig.behind(&[case.pod(TARGET_PORT)], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.link(LINK, LinkValue::POD, Some(case.node()));
        let asked = case.opening(case.pod(20_000), case.vip()).hops(1);
        is_told(rig, &asked, time_exceeded(case.v6), Reason::HopLimit);
    });
}

#[test]
fn the_nodes_primary_address_speaks_where_the_link_has_none() {
    each(|rig, uplink| {
        let case = rig.case;
        rig.link(uplink.index, LinkValue::UPLINK, None);
        rig.link(0, 0, Some(case.node()));
        rig.send(&asked(case));
        is_told(rig, &more(case).hops(1), time_exceeded(case.v6), Reason::HopLimit);
    });
}

#[test]
fn the_frontend_speaks_where_the_node_has_no_address_any_more() {
    each(|rig, uplink| {
        let case = rig.case;
        rig.send(&asked(case));
        rig.link(uplink.index, LinkValue::UPLINK, None);
        let last = more(case).hops(1);
        let told = told(case.vip().ip(), &last, time_exceeded(case.v6));
        rig.send(&last).is_bytes(Verdict::Redirected, &told.bytes());
    });
}

#[test]
fn tags_stay_on_what_is_told() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        let (big, last) = (sized(&more(case), 1_500), more(case).hops(1));
        for (about, kind) in [(big, too_big(case.v6)), (last, time_exceeded(case.v6))] {
            for tags in [&[(0x8100, 7)][..], &[(0x88a8, 7), (0x8100, 8)]] {
                let told = told(case.node(), &about, kind);
                let out = rig.send_bytes(&tagged(&about.bytes(), tags));
                out.is_bytes(Verdict::Redirected, &tagged(&told.bytes(), tags));
            }
        }
    });
}

#[test]
fn tags_make_no_packet_too_big() {
    each(|rig, uplink| {
        let case = rig.case;
        let fits = sized(&asked(case), MTU);
        let sent = leaving(case, uplink, &fits.between(node(case, 20_000), remote(case)));
        for tags in [&[(0x8100, 7)][..], &[(0x88a8, 7), (0x8100, 8)]] {
            let out = rig.send_bytes(&tagged(&fits.bytes(), tags));
            out.is_bytes(Verdict::Redirected, &sent.bytes());
        }
    });
}

#[test]
fn packets_that_go_on_through_the_stack_are_the_stacks_to_judge() {
    each(|rig, _| {
        let case = rig.case;
        let choice = rig.behind(&[remote(case)], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        for frame in [sized(&asked(case), 1_500), asked(case).hops(1)] {
            rig.send(&frame).is_bytes(Verdict::Passed, &frame.to(remote(case)).bytes());
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn options_and_chains_make_a_sender_that_is_not_told() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        for (frame, reason) in
            [(sized(&more(case), 1_500), Reason::TooBig), (more(case).hops(1), Reason::HopLimit)]
        {
            let mut frame = frame;
            let bytes = if let IpHeaders::Ipv4(ip, _) = &mut *frame.ip {
                ip.options = [1, 1, 1, 0].into();
                frame.bytes()
            } else {
                extended(&frame.bytes(), &[Extension(60, [&[1, 1, 12][..], &[0; 12]].concat())])
            };
            is_dropped(rig, &bytes, reason);
        }
    });
}

#[test]
fn nobody_is_told_about_an_error() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        let sent = more(case).between(node(case, 20_000), remote(case));
        let (router, kind) = (case.on_uplink(7, 0).ip(), icmp::too_big(case.v6));
        let error = message(router, case.node(), kind, &quote(&sent, sent.bytes().len() - L3));
        // RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e.1).
        is_dropped(rig, &error.hops(1).bytes(), Reason::HopLimit);
        let long = error.carrying(&[error.payload.clone(), payload(1_300)].concat());
        is_dropped(rig, &long.bytes(), Reason::TooBig);
    });
}

#[test]
fn nobody_is_told_about_a_fragment_behind_the_first() {
    each(|rig, _| {
        let case = rig.case;
        rig.send(&asked(case));
        // Without a checksum where a port changes: see the fragments of SCTP.
        let plain = sized(&more(case), 2_000);
        let unchecked = case.proto == IpProto::SCTP;
        let shaped = |frame: Frame| fragments(&Frame { unchecked, ..frame }.bytes(), 9, &[48]);
        let (all, last) = (shaped(plain.clone()), shaped(plain.hops(1)));
        rig.send_bytes(&all[0]);
        // RFC 1122 section 3.2.2.
        is_dropped(rig, &all[1], Reason::TooBig);
        is_dropped(rig, &last[1], Reason::HopLimit);
    });
}

#[test]
fn xdp_leaves_both_to_tc_untouched() {
    each_routed_of(Case::all().filter(|case| case.is_xdp()), |rig, uplink| {
        let case = rig.case;
        set_mtu(*uplink, MTU.into());
        serve_elsewhere(rig);
        for _ in 0..2 {
            rig.passes(&sized(&asked(case), 1_500));
            rig.passes(&asked(case).hops(1));
            rig.send(&asked(case));
        }
        let fits = sized(&more(case), MTU);
        let sent = leaving(case, uplink, &fits.between(node(case, 20_000), remote(case)));
        rig.send(&fits).is(Verdict::TurnedBack, &sent);
    });
}
