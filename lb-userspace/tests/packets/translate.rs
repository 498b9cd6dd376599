//! New flows, known flows, answers.

use crate::case::PORT;
use crate::frame::{Frame, payload};
use crate::rig::{Verdict, each, each_where};
use crate::tables::{SERVICE, leading_to};
use etherparse::IpHeaders;
use lb_common::algo::checksum;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::Edge;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::FrontendKey;
use lb_common::wire::{Addr, Port};
use lb_userspace::reconcile::Edit;

#[test]
fn a_new_flow_goes_to_one_of_the_backends() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let backend = rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        assert!(case.backends(3).contains(&backend), "{backend}");
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn both_halves_of_a_new_flow_are_stored() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.chosen(&asked);
        let sent = asked.to(case.backend(1));
        let answer = sent.between(sent.dst(), sent.src());
        let forward = rig.flow(asked.key(Edge::INGRESS));
        assert_eq!(forward, translation(&asked, &sent, forward.seen));
        let reply = rig.flow(answer.key(Edge::EGRESS));
        let seen_as = answer.from(case.vip());
        let flags = FlowValue::REPLY;
        let expected = translation(&answer, &seen_as, forward.seen);
        assert_eq!(reply, FlowValue { flags, ..expected });
    });
}

/// The entry that makes `after` of `before`, by the first backend.
fn translation(before: &Frame, after: &Frame, seen: u32) -> FlowValue {
    let (old, new) = (before.key(Edge::INGRESS), after.key(Edge::INGRESS));
    let change = |old: Addr, new: Addr| checksum::addr_diff(&old, &new);
    let ports = |old, new| checksum::diff(old, new);
    FlowValue {
        src: new.src,
        dst: new.dst,
        sport: new.sport,
        dport: new.dport,
        addr_diff: checksum::add(change(old.src, new.src), change(old.dst, new.dst)),
        port_diff: checksum::add(ports(old.sport.0, new.sport.0), ports(old.dport.0, new.dport.0)),
        backend: 1,
        generation: 1,
        service: SERVICE,
        link: 0,
        seen,
        progress: Progress::default(),
        flags: 0,
        zero: [0; 2],
    }
}

#[test]
fn later_packets_of_a_flow_keep_its_backend() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let backend = rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        // Whoever comes next goes elsewhere.
        let others = rig.range(1, &[case.number_of(backend) % 3 + 1]);
        rig.frontend(case.vip(), leading_to(others));
        assert_eq!(rig.chosen(&case.later(case.pod(20_000), case.vip())), backend);
        assert_ne!(rig.chosen(&case.opening(case.pod(40_001), case.vip())), backend);
    });
}

#[test]
fn a_flow_outlives_its_frontend() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let key = FrontendKey::of(case.vip().ip().into(), Port::new(PORT), case.proto);
        rig.edit(Edit::Frontend(key, None));
        assert_eq!(rig.chosen(&case.later(case.pod(20_000), case.vip())), case.backend(1));
    });
}

#[test]
fn an_answer_comes_from_the_frontend() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let backend = rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        let answer = case.later(backend, case.pod(20_000));
        rig.leave(&answer).is(Verdict::Passed, &answer.from(case.vip()));
    });
}

#[test]
fn an_answer_is_translated_as_it_leaves_and_not_before() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&case.opening(case.pod(20_000), case.vip()));
        rig.passes(&case.later(case.backend(1), case.pod(20_000)));
    });
}

#[test]
fn a_request_that_leaves_is_not_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.leave(&asked).is(Verdict::Passed, &asked);
        rig.chosen(&asked);
        rig.leave(&asked).is(Verdict::Passed, &asked);
    });
}

#[test]
fn a_backend_that_speaks_first_is_not_translated() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let first = case.later(case.backend(1), case.pod(20_000));
        rig.leave(&first).is(Verdict::Passed, &first);
        assert_eq!(rig.find_flow(first.key(Edge::EGRESS)), None);
    });
}

#[test]
fn ipv4_options_survive() {
    each_where(
        |case| !case.v6,
        |rig| {
            let case = rig.case;
            rig.serve(1);
            let mut asked = case.opening(case.pod(20_000), case.vip());
            if let IpHeaders::Ipv4(ip, _) = &mut *asked.ip {
                // Record route (RFC 791 section 3.1), and the end of the list.
                ip.options = [7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0].into();
            }
            assert_eq!(rig.chosen(&asked), case.backend(1));
        },
    );
}

#[test]
fn an_empty_payload_is_a_payload() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.later(case.pod(20_000), case.vip()).carrying(&[]);
        assert_eq!(rig.chosen(&asked), case.backend(1));
    });
}

#[test]
fn a_full_size_packet_is_translated_whole() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.later(case.pod(20_000), case.vip()).carrying(&payload(1_400));
        assert_eq!(rig.chosen(&asked), case.backend(1));
    });
}

#[test]
fn a_jumbo_frame_of_several_buffers_is_translated_whole() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.later(case.pod(20_000), case.vip()).carrying(&case.jumbo());
        assert_eq!(rig.chosen(&asked), case.backend(1));
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn ethernet_padding_stays_behind_the_packet() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let asked = case.later(case.pod(20_000), case.vip()).carrying(b"x");
        let mut padded = asked.bytes();
        let len = padded.len();
        padded.resize(len + 9, 0xaa);
        let out = rig.send_bytes(&padded);
        assert_eq!(out.verdict, Verdict::Passed);
        assert_eq!(out.bytes[..len], asked.to(case.backend(1)).bytes());
        assert_eq!(out.bytes[len..], [0xaa; 9]);
    });
}
