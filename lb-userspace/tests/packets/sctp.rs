//! SCTP (RFC 9260): a chunk opens or ends an association, and a CRC covers ports and payload but
//! no address.

use crate::case::{Case, PORT};
use crate::frame::{Frame, L3, payload};
use crate::hook::Hook;
use crate::refuse;
use crate::rig::{Rig, Verdict, each_of, each_routed_of};
use crate::snat::{answered, asked, masqueraded, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to, nobody};
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::verdict::Reason;
use lb_userspace::reconcile::Edit;
use std::net::SocketAddr;

/// Chunk types (RFC 9260 section 3.2).
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const SHUTDOWN_ACK: u8 = 8;
const ERROR: u8 = 9;
const COOKIE_ECHO: u8 = 10;
const SHUTDOWN_COMPLETE: u8 = 14;

fn each(scene: impl Fn(&mut Rig)) {
    each_of(Case::sctp(), scene);
}

fn init(case: Case) -> Frame {
    Frame::init(case.pod(20_000), case.vip())
}

fn data(case: Case) -> Frame {
    Frame::chunk(case.pod(20_000), case.vip())
}

/// What the first backend sends.
fn answer(case: Case) -> Frame {
    Frame::chunk(case.backend(1), case.pod(20_000))
}

/// The same with a chunk of this type, and nothing in it.
fn chunk(frame: &Frame, kind: u8) -> Frame {
    frame.carrying(&[kind, 0, 0, 4])
}

/// An association with backend 1; from now on only backend 2 is chosen.
fn open_then_second_only(rig: &mut Rig) {
    let case = rig.case;
    rig.serve(1);
    rig.chosen(&init(case));
    rig.backend(2, case.backend(2), HERE);
    let choice = rig.range(1, &[2]);
    rig.frontend(case.vip(), leading_to(choice));
}

#[test]
fn an_init_opens_an_association_and_data_follows_it() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let backend = rig.chosen(&init(case));
        for _ in 0..3 {
            assert_eq!(rig.chosen(&data(case)), backend);
        }
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn associations_spread() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let from = |port| Frame::init(case.pod(port), case.vip());
        let mut chosen: Vec<_> = (20_000..20_040).map(|port| rig.chosen(&from(port))).collect();
        chosen.sort();
        chosen.dedup();
        assert_eq!(chosen, case.backends(3));
    });
}

#[test]
fn an_answer_comes_from_the_frontend() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&init(case));
        for frame in [answer(case), chunk(&answer(case), INIT_ACK)] {
            rig.leave(&frame).is(Verdict::Passed, &frame.from(case.vip()));
        }
    });
}

#[test]
fn packets_of_an_association_are_counted() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        let frames = [init(case), data(case), answer(case)];
        rig.send(&frames[0]);
        rig.send(&frames[1]);
        rig.leave(&frames[2]);
        for (now, before) in rig.traffic().into_iter().zip(before) {
            assert_eq!(
                (now.packets, now.connections),
                (before.packets + 3, before.connections + 1)
            );
            let bytes: u64 = frames.iter().map(Frame::counted_len).sum();
            assert_eq!(now.bytes, before.bytes + bytes);
        }
    });
}

#[test]
fn the_checksum_of_a_changed_port_is_right_at_every_length() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&init(case));
        // Around the places where the length needs another byte, and odd ones.
        for len in (4..300).chain(500..530).chain([1_023, 1_024, 1_025, 1_452, 2_047, 3_001]) {
            assert_eq!(rig.chosen(&data(case).carrying(&payload(len))), case.backend(1), "{len}");
            let back = answer(case).carrying(&payload(len));
            rig.leave(&back).is(Verdict::Passed, &back.from(case.vip()));
        }
    });
}

#[test]
fn a_checksum_that_was_wrong_stays_wrong() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let mut asked = init(case).bytes();
        let mut sent = init(case).to(case.backend(1)).bytes();
        let at = init(case).l4() + 8;
        (asked[at], sent[at]) = (!asked[at], !sent[at]);
        let out = rig.send_bytes(&asked);
        assert_eq!((out.verdict, out.bytes), (Verdict::Passed, sent));
    });
}

/// Backends at the Service's own port: nothing that the checksum covers changes.
fn serve_same_port(rig: &mut Rig) -> SocketAddr {
    let backend = SocketAddr::new(rig.case.backend(1).ip(), PORT);
    let choice = rig.behind(&[backend], HERE);
    rig.frontend(rig.case.vip(), leading_to(choice));
    backend
}

#[test]
fn addresses_alone_leave_any_checksum_as_it_is() {
    each(|rig| {
        let case = rig.case;
        let backend = serve_same_port(rig);
        assert_eq!(rig.chosen(&init(case)), backend);
        let at = init(case).l4() + 8;
        for check in [[0; 4], [1, 2, 3, 4], [0xff; 4]] {
            let (mut asked, mut sent) = (data(case).bytes(), data(case).to(backend).bytes());
            asked[at..at + 4].copy_from_slice(&check);
            sent[at..at + 4].copy_from_slice(&check);
            assert_eq!(rig.send_bytes(&asked).bytes, sent);
        }
    });
}

#[test]
fn an_absent_checksum_stays_absent() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = Frame { unchecked: true, ..init(case) };
        assert_eq!(rig.chosen(&asked), case.backend(1));
        let back = Frame { unchecked: true, ..answer(case) };
        rig.leave(&back).is(Verdict::Passed, &back.from(case.vip()));
    });
}

#[test]
fn an_init_again_keeps_its_backend() {
    each(|rig| {
        open_then_second_only(rig);
        assert_eq!(rig.chosen(&init(rig.case)), rig.case.backend(1));
    });
}

#[test]
fn an_init_after_the_end_is_balanced_again() {
    for (kind, by_backend) in
        [(ABORT, false), (ABORT, true), (SHUTDOWN_COMPLETE, false), (SHUTDOWN_COMPLETE, true)]
    {
        each(|rig| {
            let case = rig.case;
            open_then_second_only(rig);
            if by_backend {
                rig.leave(&chunk(&answer(case), kind));
            } else {
                assert_eq!(rig.chosen(&chunk(&data(case), kind)), case.backend(1));
            }
            assert_eq!(rig.chosen(&data(case)), case.backend(1), "the last packets");
            assert_eq!(rig.chosen(&init(case)), case.backend(2));
            let value = rig.flow(init(case).key(Edge::INGRESS));
            assert_eq!((value.backend, value.progress), (2, Progress(0)));
        });
    }
}

#[test]
fn other_chunks_end_nothing() {
    each(|rig| {
        let case = rig.case;
        open_then_second_only(rig);
        for kind in [INIT_ACK, SHUTDOWN, SHUTDOWN_ACK, ERROR, COOKIE_ECHO, 0, 3, 4, 5, 11, 192] {
            rig.send(&chunk(&data(case), kind));
            rig.leave(&chunk(&answer(case), kind));
        }
        assert_eq!(rig.chosen(&init(case)), case.backend(1));
    });
}

#[test]
fn an_association_outlives_its_backend_and_an_init_does_not() {
    each(|rig| {
        let case = rig.case;
        open_then_second_only(rig);
        let free = BackendValue { generation: 2, ..rig.backend_value(case.backend(7)) };
        rig.edit(Edit::Backend(1, free));
        assert_eq!(rig.chosen(&data(case)), case.backend(1));
        rig.leave(&answer(case)).is(Verdict::Passed, &answer(case).from(case.vip()));
        assert_eq!(rig.chosen(&init(case)), case.backend(2));
    });
}

#[test]
fn a_replaced_source_keeps_its_port_and_hears_the_answer() {
    each_routed_of(Case::sctp(), |rig, uplink| {
        serve_elsewhere(rig);
        assert_eq!(masqueraded(rig, uplink, &asked(rig.case)), 20_000);
        answered(rig, uplink, 20_000, rig.case.on_uplink(1, 20_000));
    });
}

#[test]
fn two_replaced_sources_with_one_port_get_two() {
    each_routed_of(Case::sctp(), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let clients = [1, 2, 3].map(|n| case.on_uplink(n, 20_000));
        let ports = clients.map(|c| masqueraded(rig, uplink, &case.opening(c, case.vip())));
        assert!(ports[1] != ports[0] && ports[2] != ports[0] && ports[1] != ports[2], "{ports:?}");
        for (client, port) in clients.into_iter().zip(ports) {
            answered(rig, uplink, port, client);
            let later = case.later(client, case.vip());
            assert_eq!(masqueraded(rig, uplink, &later), port);
        }
    });
}

#[test]
fn the_port_of_an_ended_association_is_free() {
    each_routed_of(Case::sctp(), |rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        masqueraded(rig, uplink, &chunk(&asked(case), ABORT));
        let next = case.opening(case.on_uplink(2, 20_000), case.vip());
        assert_eq!(masqueraded(rig, uplink, &next), 20_000);
    });
}

#[test]
fn an_association_from_port_0_is_not_ours() {
    each(|rig| {
        rig.serve(1);
        rig.passes(&Frame::init(rig.case.pod(0), rig.case.vip()));
    });
}

#[test]
fn a_packet_cut_anywhere_is_never_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let whole = init(case).bytes();
        for hook in [Hook::TcIngress, Hook::TcEgress] {
            for len in init(case).l4()..whole.len() {
                untouched(rig, hook, &whole[..len], Reason::Malformed);
            }
        }
    });
}

/// Bytes that must pass as they are, counted.
#[track_caller]
fn untouched(rig: &mut Rig, hook: Hook, bytes: &[u8], reason: Reason) {
    rig.count_anew();
    let out = rig.run(hook, bytes);
    assert_eq!((out.verdict, &out.bytes[..]), (Verdict::Passed, bytes), "{} bytes", bytes.len());
    assert_eq!(rig.reasons(), [(reason, 1)], "{} bytes", bytes.len());
}

#[test]
fn a_length_that_lies_is_malformed() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let whole = init(case).bytes();
        let (at, ip) = if case.v6 { (L3 + 4, 0) } else { (L3 + 2, 20) };
        // Less than a common header and a chunk's, or more than the frame has.
        for len in (0..16).chain([33, 1_000, 60_000]) {
            let mut lying = whole.clone();
            let claim = u16::try_from(ip + len).unwrap();
            lying[at..at + 2].copy_from_slice(&claim.to_be_bytes());
            // An IPv6 length of 0 has a meaning, but not in a frame of this size.
            untouched(rig, Hook::TcIngress, &lying, Reason::Malformed);
        }
    });
}

#[test]
fn a_service_without_endpoints_is_port_unreachable() {
    each(|rig| {
        let case = rig.case;
        rig.frontend(case.vip(), leading_to(nobody(0)));
        for asked in [init(case), data(case)] {
            rig.count_anew();
            rig.send(&asked).is(Verdict::Redirected, &refuse::unreachable(case, &asked));
            assert_eq!(rig.reasons(), [(Reason::NoEndpoint, 1)]);
        }
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn xdp_leaves_sctp_to_tc_untouched() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let unknown = rig.run(Hook::Xdp, &init(case).bytes());
        unknown.is(Verdict::Passed, &init(case));
        rig.chosen(&init(case));
        rig.run(Hook::Xdp, &data(case).bytes()).is(Verdict::Passed, &data(case));
        assert_eq!(rig.reasons(), []);
    });
}

/// A process of the node, for whose `connect` the kernel has no hook.
fn process(case: Case) -> SocketAddr {
    SocketAddr::new(case.node(), 20_000)
}

#[test]
fn what_a_process_of_the_node_sends_is_translated_as_it_leaves() {
    each_routed_of(Case::sctp(), |rig, _| {
        let case = rig.case;
        serve_elsewhere(rig);
        let (init, chunk) = (Frame::init, Frame::chunk);
        for sent in [init(process(case), case.vip()), chunk(process(case), case.vip())] {
            rig.leave(&sent).is(Verdict::Redirected, &sent.to(remote(case)));
        }
        let answer = chunk(remote(case), process(case));
        rig.run(Hook::TcIngress, &answer.bytes()).is(Verdict::Passed, &answer.from(case.vip()));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn nothing_else_that_leaves_opens_an_association() {
    each_routed_of(Case::sctp(), |rig, _| {
        let case = rig.case;
        serve_elsewhere(rig);
        let sent = Frame::init(process(case), case.stranger());
        rig.leave(&sent).is(Verdict::Passed, &sent);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}
