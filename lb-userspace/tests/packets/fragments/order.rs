//! Fragments in the order in which they were sent.

use super::{CUTS, ID, IN, OUT, answer, asked, become_fragments, cases, cut, each, more};
use crate::case::{Case, PORT, TARGET_PORT};
use crate::frame::{Frame, HOPS, NODE_MAC, PEER_MAC, payload};
use crate::hook::Hook;
use crate::rig::{LINK, Verdict, each_of, each_routed_of};
use crate::shape::{Extension, extended, fragments, reassembled, tagged};
use crate::snat::{client, leaving, node, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to};
use etherparse::IpHeaders;
use lb_common::layout::frontend::FrontendKey;
use lb_common::layout::node::LinkValue;
use lb_common::wire::{IpProto, Port};
use lb_userspace::reconcile::Edit;

#[test]
fn the_first_fragment_opens_a_flow_and_the_others_follow_it() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let sent: Vec<_> = cut(&asked(case)).iter().map(|f| rig.send_bytes(f).bytes).collect();
        assert_eq!(sent, cut(&asked(case).to(case.backend(1))));
        assert_eq!(reassembled(&sent), reassembled(&cut(&asked(case).to(case.backend(1)))));
        assert_eq!((rig.maps.flows().unwrap().len(), rig.reasons()), (2, vec![]));
    });
}

#[test]
fn fragments_of_a_known_flow_follow_it_both_ways() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let backend = rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        become_fragments(rig, IN, &cut(&more(case)), &cut(&more(case).to(backend)));
        let answer = answer(case).from(backend);
        become_fragments(rig, OUT, &cut(&answer), &cut(&answer.from(case.vip())));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn what_comes_out_is_a_datagram_whose_checksum_is_right() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        for len in 80..140 {
            let frame = more(case).carrying(&payload(len));
            let sent: Vec<_> = cut(&frame).iter().map(|f| rig.send_bytes(f).bytes).collect();
            let whole = reassembled(&sent);
            assert_eq!((whole.src(), whole.dst()), (frame.src(), case.backend(1)));
            assert_eq!(whole.payload, frame.payload);
        }
    });
}

#[test]
fn an_absent_udp_checksum_stays_absent_in_fragments() {
    each_of(cases().filter(|case| !case.is_tcp() && !case.v6), |rig| {
        let case = rig.case;
        rig.serve(1);
        let frame = Frame { unchecked: true, ..asked(case) };
        become_fragments(rig, IN, &cut(&frame), &cut(&frame.to(case.backend(1))));
    });
}

#[test]
fn a_replaced_source_is_replaced_in_every_fragment() {
    each_routed_of(cases(), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let asked = asked(case).from(client(case));
        let sent = leaving(case, uplink, &asked.between(node(case, 20_000), remote(case)));
        let redirected = (Hook::TcIngress, Verdict::Redirected);
        become_fragments(rig, redirected, &cut(&asked), &cut(&sent));
        let answer = answer(case).between(remote(case), node(case, 20_000));
        let heard = leaving(case, uplink, &answer.between(case.vip(), client(case)));
        become_fragments(rig, redirected, &cut(&answer), &cut(&heard));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn every_fragment_turns_back_to_a_client_that_is_its_own_backend() {
    each(|rig| {
        let case = rig.case;
        let server = case.pod(TARGET_PORT);
        let choice = rig.behind(&[server], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.link(LINK, LinkValue::POD, Some(case.node()));
        let sent = asked(case).between(node(case, 20_000), server);
        let returning = sent.hops(HOPS - 1).over((NODE_MAC, PEER_MAC));
        let redirected = (Hook::TcIngress, Verdict::Redirected);
        become_fragments(rig, redirected, &cut(&asked(case)), &cut(&returning));
    });
}

#[test]
fn every_fragment_is_counted() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        let all = cut(&asked(case));
        for fragment in &all {
            rig.send_bytes(fragment);
        }
        let bytes: usize = all.iter().map(|fragment| fragment.len() - 14).sum();
        for (now, before) in rig.traffic().into_iter().zip(before) {
            assert_eq!(
                (now.packets, now.connections),
                (before.packets + 3, before.connections + 1)
            );
            assert_eq!(now.bytes - before.bytes, bytes as u64);
        }
    });
}

#[test]
fn datagrams_at_the_same_time_keep_apart() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend(2, case.backend(2), HERE);
        let second = rig.range(1, &[2]);
        rig.frontend(case.other_vip(), leading_to(second));
        // By identification, by client, by frontend.
        let datagrams = [
            (asked(case), ID, 1),
            (asked(case).carrying(&payload(99)), ID + 1, 1),
            (asked(case).from(case.other_pod(1, 20_000)), ID, 1),
            (asked(case).between(case.pod(19_000), case.other_vip()), ID, 2),
        ];
        for n in 0..=CUTS.len() {
            for (frame, id, backend) in &datagrams {
                let piece = |frame: &Frame| fragments(&frame.bytes(), *id, &CUTS)[n].clone();
                let to = piece(&frame.to(case.backend(*backend)));
                rig.send_bytes(&piece(frame)).is_bytes(Verdict::Passed, &to);
            }
        }
    });
}

#[test]
fn one_ipv4_identification_in_two_protocols_is_two_datagrams() {
    each_of(cases().filter(|case| !case.v6), |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend(2, case.backend(2), HERE);
        let second = rig.range(1, &[2]);
        let proto = if case.is_tcp() { IpProto::UDP } else { IpProto::TCP };
        let key = FrontendKey::of(case.vip().ip().into(), Port::new(PORT), proto);
        rig.edit(Edit::Frontend(key, Some(leading_to(second))));
        let other = asked(Case { proto, ..case });
        for n in 0..=CUTS.len() {
            for (frame, backend) in [(asked(case), 1), (other.clone(), 2)] {
                let to = cut(&frame.to(case.backend(backend)));
                rig.send_bytes(&cut(&frame)[n]).is_bytes(Verdict::Passed, &to[n]);
            }
        }
    });
}

#[test]
fn what_is_foreign_as_it_comes_in_may_be_ours_as_it_leaves() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend_address();
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let answer = answer(case);
        let heard = cut(&answer.from(case.vip()));
        for (n, fragment) in cut(&answer).iter().enumerate() {
            rig.send_bytes(fragment).is_bytes(Verdict::Passed, fragment);
            rig.run(Hook::TcEgress, fragment).is_bytes(Verdict::Passed, &heard[n]);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn an_identification_that_comes_again_is_another_datagram() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.backend(2, case.backend(2), HERE);
        become_fragments(rig, IN, &cut(&asked(case)), &cut(&asked(case).to(case.backend(1))));
        let second = rig.range(1, &[2]);
        rig.frontend(case.vip(), leading_to(second));
        let again = asked(case).from(case.pod(19_000));
        become_fragments(rig, IN, &cut(&again), &cut(&again.to(case.backend(2))));
    });
}

#[test]
fn ipv4_options_survive_in_fragments() {
    each_of(cases().filter(|case| !case.v6), |rig| {
        let case = rig.case;
        rig.serve(1);
        let mut asked = asked(case);
        if let IpHeaders::Ipv4(ip, _) = &mut *asked.ip {
            ip.options = [0x82, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].into();
        }
        become_fragments(rig, IN, &cut(&asked), &cut(&asked.to(case.backend(1))));
    });
}

/// Eight bytes of padding as an extension header of this kind.
fn padding(kind: u8) -> Extension {
    Extension(kind, vec![0, 1, 4, 0, 0, 0, 0])
}

#[test]
fn extension_headers_in_front_of_the_fragment_header_stay() {
    each_of(cases().filter(|case| case.v6), |rig| {
        let case = rig.case;
        rig.serve(1);
        let chain = [padding(0), padding(60)];
        let shaped = |frame: &Frame| -> Vec<_> {
            cut(frame).iter().map(|fragment| extended(fragment, &chain)).collect()
        };
        become_fragments(rig, IN, &shaped(&asked(case)), &shaped(&asked(case).to(case.backend(1))));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn extension_headers_behind_the_fragment_header_are_in_the_first_only() {
    each_of(cases().filter(|case| case.v6), |rig| {
        let case = rig.case;
        rig.serve(1);
        let shaped = |frame: &Frame| {
            fragments(&extended(&frame.bytes(), &[padding(60), padding(60)]), ID, &[56, 88])
        };
        become_fragments(rig, IN, &shaped(&asked(case)), &shaped(&asked(case).to(case.backend(1))));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn tags_stay_on_fragments() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let shaped = |frame: &Frame| -> Vec<_> {
            cut(frame).iter().map(|fragment| tagged(fragment, &[(0x8100, 7)])).collect()
        };
        become_fragments(rig, IN, &shaped(&asked(case)), &shaped(&asked(case).to(case.backend(1))));
    });
}

#[test]
fn xdp_leaves_fragments_to_tc_untouched() {
    each_of(cases(), |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        become_fragments(rig, (Hook::Xdp, Verdict::Passed), &cut(&more(case)), &cut(&more(case)));
        assert_eq!(rig.reasons(), []);
    });
}
