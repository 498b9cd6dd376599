//! Flows that another proxy translates: every packet of theirs passes as it is, uncounted, until
//! they end.

use crate::case::Case;
use crate::conntrack::{asked, flags, more, syn_ack};
use crate::frame::{Frame, payload};
use crate::hook::Hook;
use crate::icmp::{kinds, lengths, message, quote};
use crate::rig::{HZ, LINK, Rig, Verdict, each, each_of, each_routed, each_where};
use crate::shape::{Extension, extended, fragments, tagged};
use crate::tables::{ELSEWHERE, leading_to};
use bytemuck::Zeroable;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::frontend::Choice;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_userspace::reconcile::Edit;
use std::net::SocketAddr;

/// What the client gets, from the frontend again.
fn answer(case: Case) -> Frame {
    case.later(case.vip(), case.pod(20_000))
}

/// The half of a foreign flow whose packets are like `seen`, and whose other half's are like
/// `other`.
fn half(seen: FlowKey, other: FlowKey, flags: u8) -> (FlowKey, FlowValue) {
    let FlowKey { src, dst, sport, dport, .. } = other.reply(Edge::INGRESS);
    let value = FlowValue {
        src,
        dst,
        sport,
        dport,
        service: 1,
        progress: Progress(Progress::REPLIED),
        flags: flags | FlowValue::FOREIGN,
        ..FlowValue::zeroed()
    };
    (seen, value)
}

/// A Service, and a flow to it that another proxy translates.
fn leave(rig: &mut Rig) {
    rig.serve(1);
    let (forward, reply) = keys(rig.case);
    let seen = now(rig);
    for (key, value) in [half(forward, reply, 0), half(reply, forward, FlowValue::REPLY)] {
        rig.maps.put_flow(key, FlowValue { seen, ..value }).unwrap();
    }
}

/// Of the two halves.
fn keys(case: Case) -> (FlowKey, FlowKey) {
    (asked(case).key(Edge::INGRESS), answer(case).key(Edge::EGRESS))
}

/// Jiffies, as a program notes them for a flow of ours, which is taken away again.
fn now(rig: &mut Rig) -> u32 {
    let probe = rig.case.opening(rig.case.other_pod(9, 20_001), rig.case.vip());
    rig.chosen(&probe);
    let seen = rig.flow(probe.key(Edge::INGRESS)).seen;
    rig.lose(&probe);
    seen
}

/// Packets of both sides pass, and nothing of ours counts them.
#[track_caller]
fn passes_both_ways(rig: &mut Rig) {
    let before = rig.traffic();
    rig.passes(&more(rig.case));
    let back = answer(rig.case);
    rig.leave(&back).is(Verdict::Passed, &back);
    assert_eq!((rig.reasons(), rig.traffic()), (vec![], before));
}

fn progress(rig: &Rig) -> [Progress; 2] {
    let (forward, reply) = keys(rig.case);
    [rig.flow(forward).progress, rig.flow(reply).progress]
}

fn fin(frame: &Frame) -> Frame {
    flags(frame, |tcp| (tcp.fin, tcp.ack) = (true, true))
}

#[test]
fn packets_of_both_sides_pass_untouched_and_uncounted() {
    each(|rig| {
        leave(rig);
        passes_both_ways(rig);
    });
}

#[test]
fn in_tc_every_protocol_passes() {
    each_of(Case::in_tc(), |rig| {
        leave(rig);
        passes_both_ways(rig);
    });
}

#[test]
fn frames_with_tags_and_extension_headers_pass() {
    each_of(Case::in_tc(), |rig| {
        leave(rig);
        let frame = tagged(&more(rig.case).bytes(), &[(0x8100, 7)]);
        rig.run(Hook::TcIngress, &frame).is_bytes(Verdict::Passed, &frame);
        if rig.case.v6 {
            // Six bytes of padding (RFC 8200 section 4.2).
            let hop_by_hop = Extension(0, vec![0, 1, 4, 0, 0, 0, 0]);
            let frame = extended(&more(rig.case).bytes(), &[hop_by_hop]);
            rig.run(Hook::TcIngress, &frame).is_bytes(Verdict::Passed, &frame);
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn fragments_pass_in_any_order() {
    crate::fragments::each(|rig| {
        leave(rig);
        let long = more(rig.case).carrying(&payload(1_000));
        for (id, order) in [(40, [0, 1]), (41, [1, 0])] {
            let all = fragments(&long.bytes(), id, &[496]);
            // The second waits if it comes first.
            let waits = order[0] == 1;
            for n in order {
                let out = rig.run(Hook::TcIngress, &all[n]);
                if waits && n == 1 {
                    assert_eq!(out.verdict, Verdict::Dropped);
                } else {
                    out.is_bytes(Verdict::Passed, &all[n]);
                }
            }
            let held = if waits { vec![(Reason::FragmentHeld, 1)] } else { vec![] };
            assert_eq!(rig.reasons(), held);
            rig.count_anew();
        }
    });
}

#[test]
fn errors_about_a_foreign_flow_pass() {
    each_of(Case::in_tc(), |rig| {
        leave(rig);
        let (case, router) = (rig.case, rig.case.stranger().ip());
        for kind in kinds(case.v6) {
            for len in lengths(&answer(case)) {
                let told = message(router, case.vip().ip(), *kind, &quote(&answer(case), len));
                rig.run(Hook::TcIngress, &told.bytes()).is_bytes(Verdict::Passed, &told.bytes());
                let told = message(router, case.pod(0).ip(), *kind, &quote(&more(case), len));
                rig.leave(&told).is_bytes(Verdict::Passed, &told.bytes());
            }
        }
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn a_syn_again_stays_with_the_other_proxy_as_long_as_the_connection_lives() {
    each_where(Case::is_tcp, |rig| {
        leave(rig);
        rig.passes(&asked(rig.case));
    });
}

#[test]
fn the_end_is_noted_in_both_halves_and_the_next_syn_is_ours() {
    each_where(Case::is_tcp, |rig| {
        leave(rig);
        rig.passes(&fin(&more(rig.case)));
        assert_eq!(progress(rig), [Progress(Progress::REPLIED | Progress::CLIENT_FIN); 2]);
        let back = fin(&answer(rig.case));
        rig.leave(&back).is(Verdict::Passed, &back);
        assert!(progress(rig)[0].is_closed());
        // The last acknowledgement is still theirs.
        rig.passes(&more(rig.case));
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
        let first = syn_ack(&rig.case.later(rig.case.backend(1), rig.case.pod(20_000)));
        rig.leave(&first).is(Verdict::Passed, &first.from(rig.case.vip()));
    });
}

#[test]
fn after_a_reset_of_either_side_the_next_syn_is_ours() {
    each_where(Case::is_tcp, |rig| {
        let (client, server) = (more(rig.case), answer(rig.case));
        for by_client in [true, false] {
            leave(rig);
            if by_client {
                rig.passes(&flags(&client, |tcp| tcp.rst = true));
            } else {
                let reset = flags(&server, |tcp| tcp.rst = true);
                rig.leave(&reset).is(Verdict::Passed, &reset);
            }
            assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
            rig.lose_all();
        }
    });
}

#[test]
fn a_udp_client_is_ours_after_two_minutes_of_silence() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            leave(rig);
            let (forward, _) = keys(rig.case);
            let value = rig.flow(forward);
            let silent = |s: u32| FlowValue { seen: value.seen.wrapping_sub(s * HZ), ..value };
            rig.maps.put_flow(forward, silent(118)).unwrap();
            rig.passes(&more(rig.case));
            rig.maps.put_flow(forward, silent(121)).unwrap();
            assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        },
    );
}

#[test]
fn a_time_that_is_still_to_come_is_no_silence() {
    each_where(
        |case| !case.is_tcp(),
        |rig| {
            leave(rig);
            let (forward, _) = keys(rig.case);
            let value = rig.flow(forward);
            let seen = value.seen.wrapping_add(5 * HZ);
            rig.maps.put_flow(forward, FlowValue { seen, ..value }).unwrap();
            rig.passes(&more(rig.case));
        },
    );
}

#[test]
fn a_lost_reply_half_is_put_back() {
    each_where(Case::is_tcp, |rig| {
        leave(rig);
        let (_, reply) = keys(rig.case);
        let before = rig.flow(reply);
        rig.maps.remove_flow(&reply).unwrap();
        rig.passes(&asked(rig.case));
        let after = rig.flow(reply);
        let ends = |half: FlowValue| (half.src, half.dst, half.sport, half.dport, half.flags);
        assert_eq!(ends(after), ends(before));
    });
}

/// A client outside, a frontend, and a backend elsewhere.
struct Outside {
    client: SocketAddr,
    backend: SocketAddr,
    masquerade: SocketAddr,
}

/// The same with a flow that another proxy masquerades.
fn leave_masqueraded(rig: &mut Rig) -> Outside {
    let case = rig.case;
    let (client, backend) = (case.on_uplink(1, 20_000), case.on_uplink(2, 8080));
    let masquerade = SocketAddr::new(case.node(), 20_000);
    let choice = rig.behind(&[backend], ELSEWHERE);
    rig.frontend(case.vip(), leading_to(choice));
    let forward = case.later(client, case.vip()).key(Edge::INGRESS);
    let reply = case.later(backend, masquerade).key(Edge::INGRESS);
    let flags = FlowValue::SNAT;
    for (key, value) in
        [half(forward, reply, flags), half(reply, forward, flags | FlowValue::REPLY)]
    {
        rig.maps.put_flow(key, value).unwrap();
    }
    Outside { client, backend, masquerade }
}

#[test]
fn answers_to_a_masqueraded_client_pass() {
    each_where(Case::is_tcp, |rig| {
        let case = rig.case;
        let Outside { client, backend, masquerade } = leave_masqueraded(rig);
        rig.passes(&case.later(client, case.vip()));
        rig.passes(&case.later(backend, masquerade));
        rig.passes(&fin(&case.later(backend, masquerade)));
        let forward = rig.flow(case.later(client, case.vip()).key(Edge::INGRESS));
        assert_eq!(forward.progress, Progress(Progress::REPLIED | Progress::BACKEND_FIN));
    });
}

#[test]
fn a_port_that_masquerades_a_foreign_flow_is_not_given_to_another_client() {
    each_routed(|rig, _| {
        let case = rig.case;
        if !case.is_tcp() {
            return;
        }
        let Outside { backend, masquerade, .. } = leave_masqueraded(rig);
        let other = case.opening(case.on_uplink(3, masquerade.port()), case.vip());
        let out = rig.send(&other).frame();
        assert_eq!(out.dst(), backend);
        assert_ne!(out.src(), masquerade);
    });
}

/// The agent does not know all connections of the other proxy yet.
fn take_over(rig: &mut Rig) {
    let node = LinkValue { kind: LinkValue::TAKING_OVER, ..LinkValue::zeroed() };
    rig.edit(Edit::Link(0, Some(node)));
}

#[test]
fn while_a_node_is_taken_over_only_a_syn_opens_a_flow() {
    each(|rig| {
        rig.serve(1);
        take_over(rig);
        rig.passes(&more(rig.case));
        assert_eq!(rig.maps.flows().unwrap(), []);
        if rig.case.is_tcp() {
            assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
            assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        }
        rig.edit(Edit::Link(0, Some(LinkValue::zeroed())));
        assert_eq!(rig.chosen(&more(rig.case)), rig.case.backend(1));
        assert_ne!(rig.traffic(), [Traffic::default(); 2]);
    });
}

#[test]
fn while_a_node_is_taken_over_nobody_is_still_refused() {
    each_where(Case::is_tcp, |rig| {
        rig.frontend(rig.case.vip(), leading_to(Choice { base: 0, len: 0, flags: 0 }));
        rig.link(LINK, LinkValue::POD, Some(rig.case.node()));
        take_over(rig);
        assert_ne!(rig.send(&asked(rig.case)).verdict, Verdict::Passed);
    });
}
