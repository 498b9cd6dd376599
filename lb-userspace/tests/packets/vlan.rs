//! VLAN tags in the frame (IEEE 802.1Q, 802.1ad): up to two are looked through. They stay on a
//! packet that goes on through the host's stack, and come off one that leaves by our hand.

use crate::case::{Case, TARGET_PORT};
use crate::frame::{Frame, HOPS, L3, NODE_MAC, PEER_MAC, SEQ};
use crate::hook::Hook;
use crate::refuse;
use crate::rig::{LINK, Rig, Verdict, each_of, each_routed_of};
use crate::shape::tagged;
use crate::snat::{asked, leaving, node, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to, nobody};
use lb_common::flow::Edge;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;

type Tags = &'static [(u16, u16)];

/// One tag with priority bits, a service tag, two tags.
const TAGS: [Tags; 4] = [
    &[(0x8100, 0x6007)],
    &[(0x88a8, 12)],
    &[(0x88a8, 12), (0x8100, 0x0fff)],
    &[(0x8100, 1), (0x8100, 2)],
];

fn each(scene: impl Fn(&mut Rig, Tags)) {
    each_of(Case::in_tc(), |rig| TAGS.iter().for_each(|tags| scene(rig, tags)));
}

/// Sends a tagged frame, which must come out like this one.
#[track_caller]
fn becomes(rig: &mut Rig, hook: Hook, from: &[u8], verdict: Verdict, to: &[u8]) {
    let out = rig.run(hook, from);
    assert_eq!((out.verdict, &out.bytes[..]), (verdict, to));
}

#[test]
fn tags_stay_on_packets_that_go_on_through_the_stack() {
    each(|rig, tags| {
        let case = rig.case;
        rig.serve(1);
        let (pod, backend) = (case.pod(20_000), case.backend(1));
        for asked in [case.opening(pod, case.vip()), case.later(pod, case.vip())].map(Box::new) {
            let sent = tagged(&asked.to(backend).bytes(), tags);
            becomes(rig, Hook::TcIngress, &tagged(&asked.bytes(), tags), Verdict::Passed, &sent);
        }
        let answer = case.later(backend, pod);
        let heard = tagged(&answer.from(case.vip()).bytes(), tags);
        becomes(rig, Hook::TcEgress, &tagged(&answer.bytes(), tags), Verdict::Passed, &heard);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn tags_are_not_counted() {
    each(|rig, tags| {
        let case = rig.case;
        rig.serve(1);
        let [before, _] = rig.traffic();
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.send_bytes(&tagged(&asked.bytes(), tags));
        let [now, _] = rig.traffic();
        assert_eq!(now.bytes - before.bytes, asked.counted_len());
    });
}

#[test]
fn three_tags_are_not_ours() {
    each(|rig, tags| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.opening(case.pod(20_000), case.vip()).bytes();
        let three = [tags, TAGS[2]].concat();
        let bytes = tagged(&asked, &three[three.len() - 3..]);
        becomes(rig, Hook::TcIngress, &bytes, Verdict::Passed, &bytes);
        assert_eq!((rig.reasons(), rig.maps.flows().unwrap()), (vec![], vec![]));
    });
}

#[test]
fn a_tagged_frame_of_another_protocol_is_not_ours() {
    each(|rig, tags| {
        rig.serve(1);
        for ethertype in [[0x08, 0x06], [0x88, 0xcc], [0x00, 0x40]] {
            let mut bytes = rig.case.opening(rig.case.pod(20_000), rig.case.vip()).bytes();
            bytes[12..14].copy_from_slice(&ethertype);
            let bytes = tagged(&bytes, tags);
            becomes(rig, Hook::TcIngress, &bytes, Verdict::Passed, &bytes);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_tagged_frame_cut_anywhere_is_never_translated() {
    each(|rig, tags| {
        rig.serve(1);
        let asked = rig.case.opening(rig.case.pod(20_000), rig.case.vip());
        let whole = tagged(&asked.bytes(), tags);
        for len in L3 + 1..whole.len() {
            becomes(rig, Hook::TcIngress, &whole[..len], Verdict::Passed, &whole[..len]);
        }
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn tags_come_off_packets_whose_source_is_replaced() {
    each_routed_of(Case::in_tc(), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        for (port, tags) in (20_000..).zip(TAGS) {
            let from = case.on_uplink(1, port);
            let sent = leaving(case, uplink, &asked(case).between(node(case, port), remote(case)));
            let first = tagged(&asked(case).from(from).bytes(), tags);
            becomes(rig, Hook::TcIngress, &first, Verdict::Redirected, &sent.bytes());
            becomes(rig, Hook::TcIngress, &first, Verdict::Redirected, &sent.bytes());
            let answer = case.later(remote(case), node(case, port));
            let heard = leaving(case, uplink, &answer.between(case.vip(), from));
            let first = tagged(&answer.bytes(), tags);
            becomes(rig, Hook::TcIngress, &first, Verdict::Redirected, &heard.bytes());
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_tagged_client_is_answered_by_the_link_that_leads_to_it() {
    each_routed_of(Case::in_tc(), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        // It came by another link, whose VLAN the uplink is.
        rig.link = LINK;
        rig.link(LINK, LinkValue::UPLINK, None);
        rig.send_bytes(&tagged(&asked(case).bytes(), TAGS[0]));
        let answer = case.later(remote(case), node(case, 20_000));
        assert_eq!(rig.flow(answer.key(Edge::INGRESS)).link, uplink.index);
    });
}

#[test]
fn a_tagged_client_without_a_way_back_is_dropped_and_counted() {
    each_routed_of(Case::in_tc(), |rig, _| {
        let case = rig.case;
        serve_elsewhere(rig);
        let nowhere = asked(case).from(case.pod(20_000));
        let out = rig.send_bytes(&tagged(&nowhere.bytes(), TAGS[0]));
        assert_eq!((out.verdict, rig.reasons()), (Verdict::Dropped, vec![(Reason::NoRoute, 1)]));
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn a_tagged_client_that_is_its_own_backend_hears_from_the_node_in_its_vlan() {
    each(|rig, tags| {
        let case = rig.case;
        let server = case.pod(TARGET_PORT);
        let choice = rig.behind(&[server], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.link(LINK, LinkValue::POD, Some(case.node()));
        let asked = case.opening(case.pod(20_000), case.vip());
        let sent = asked.between(node(case, 20_000), server);
        let returning = sent.hops(HOPS - 1).over((NODE_MAC, PEER_MAC));
        let (from, to) = (tagged(&asked.bytes(), tags), tagged(&returning.bytes(), tags));
        becomes(rig, Hook::TcIngress, &from, Verdict::Redirected, &to);
        becomes(rig, Hook::TcIngress, &from, Verdict::Redirected, &to);
    });
}

#[test]
fn a_tagged_client_is_refused_in_its_vlan() {
    each(|rig, tags| {
        let case = rig.case;
        rig.frontend(case.vip(), leading_to(nobody(0)));
        rig.count_anew();
        let asked = case.opening(case.pod(20_000), case.vip());
        let answer = refusal(case, &asked);
        let (from, to) = (tagged(&asked.bytes(), tags), tagged(&answer.bytes(), tags));
        becomes(rig, Hook::TcIngress, &from, Verdict::Redirected, &to);
        assert_eq!(rig.reasons(), [(Reason::NoEndpoint, 1)]);
    });
}

fn refusal(case: Case, asked: &Frame) -> Frame {
    if case.is_tcp() {
        refuse::reset(case, 0, Some(SEQ.wrapping_add(1)))
    } else {
        refuse::unreachable(case, asked)
    }
}

#[test]
fn xdp_leaves_tags_to_tc_untouched() {
    each_routed_of(Case::in_tc(), |rig, _| {
        serve_elsewhere(rig);
        for tags in TAGS {
            // Whether the flow is known or not.
            for _ in 0..2 {
                let bytes = tagged(&asked(rig.case).bytes(), tags);
                becomes(rig, Hook::Xdp, &bytes, Verdict::Passed, &bytes);
                rig.send_bytes(&bytes);
            }
            rig.lose(&asked(rig.case));
        }
        assert_eq!(rig.reasons(), []);
    });
}
