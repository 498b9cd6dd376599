//! What a client without a backend is told: a reset (RFC 9293 section 3.10.7.1), "port
//! unreachable" (RFC 792, RFC 4443 section 3.1), or nothing.

use crate::case::Case;
use crate::frame::{Frame, L3, NODE_MAC, PEER_MAC, SEQ};
use crate::rig::{LINK, Rig, Verdict, each, each_where};
use crate::tables::{leading_to, nobody};
use crate::transport::Transport;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::icmpv6::DestUnreachableCode;
use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpHeaders, TcpHeader};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_userspace::reconcile::Edit;

const REFUSED: [(Reason, u64); 1] = [(Reason::NoEndpoint, 1)];

/// A Service without backends.
fn serve_nobody(rig: &mut Rig, flags: u32) {
    rig.frontend(rig.case.vip(), leading_to(nobody(flags)));
}

fn asked(case: Case) -> Frame {
    case.opening(case.pod(20_000), case.vip())
}

/// Sends a packet that must be answered.
#[track_caller]
fn refused(rig: &mut Rig, asked: &Frame, answer: &Frame) {
    rig.count_anew();
    rig.send(asked).is(rig.turned_back(), answer);
    assert_eq!(rig.reasons(), REFUSED);
    assert_eq!(rig.maps.flows().unwrap(), []);
}

/// An answer of the node itself, in the name of the frontend.
fn answer(case: Case, transport: Transport, payload: Vec<u8>) -> Frame {
    let mut frame = Frame::new(case.vip(), case.pod(20_000), transport, payload).hops(64);
    match &mut *frame.ip {
        IpHeaders::Ipv4(ip, _) => {
            (ip.dscp, ip.ecn) = (0.try_into().unwrap(), 0.try_into().unwrap());
            (ip.identification, ip.dont_fragment) = (0, true);
        }
        IpHeaders::Ipv6(ip, _) => {
            (ip.traffic_class, ip.flow_label) = (0, 0.try_into().unwrap());
        }
    }
    frame.over((NODE_MAC, PEER_MAC))
}

/// A reset in answer to whatever came from port 40,000.
pub(super) fn reset(case: Case, seq: u32, ack: Option<u32>) -> Frame {
    let mut tcp = TcpHeader::new(case.vip().port(), 20_000, seq, 0);
    tcp.rst = true;
    (tcp.ack, tcp.acknowledgment_number) = (ack.is_some(), ack.unwrap_or_default());
    answer(case, Transport::Tcp(tcp), Vec::new())
}

/// "Port unreachable", quoting the IP header and 8 bytes.
pub(super) fn unreachable(case: Case, asked: &Frame) -> Frame {
    let quote = asked.bytes()[L3..asked.l4() + 8].to_vec();
    let transport = if case.v6 {
        let kind = Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Port);
        Transport::Icmpv6(Icmpv6Header::new(kind))
    } else {
        let kind = Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Port);
        Transport::Icmpv4(Icmpv4Header::new(kind))
    };
    answer(case, transport, quote)
}

#[test]
fn a_syn_is_answered_by_a_reset_that_acknowledges_it() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        refused(rig, &asked(rig.case), &reset(rig.case, 0, Some(SEQ.wrapping_add(1))));
    });
}

#[test]
fn the_data_of_a_syn_is_acknowledged_too() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        let fast_open = asked(rig.case).carrying(b"twenty bytes of data");
        refused(rig, &fast_open, &reset(rig.case, 0, Some(SEQ.wrapping_add(21))));
    });
}

#[test]
fn a_fin_without_an_acknowledgement_counts_as_a_byte() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        let fin = asked(rig.case).tcp(|tcp| (tcp.syn, tcp.fin) = (false, true)).carrying(b"abc");
        refused(rig, &fin, &reset(rig.case, 0, Some(SEQ.wrapping_add(4))));
    });
}

#[test]
fn ethernet_padding_is_not_acknowledged() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        // A frame has 60 bytes at least (IEEE 802.3 clause 4.4.2): a SYN without options is
        // padded.
        let plain = asked(rig.case).tcp(|tcp| tcp.set_options_raw(&[]).unwrap());
        let mut padded = plain.bytes();
        padded.extend([0; 6]);
        let out = rig.send_bytes(&padded);
        out.is(rig.turned_back(), &reset(rig.case, 0, Some(SEQ.wrapping_add(1))));
    });
}

#[test]
fn a_segment_with_an_acknowledgement_is_reset_at_that_number() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        let segment = rig.case.later(rig.case.pod(20_000), rig.case.vip());
        refused(rig, &segment, &reset(rig.case, 0x0102_0304, None));
    });
}

#[test]
fn a_long_segment_is_reset_by_a_short_one() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        let segment = rig.case.later(rig.case.pod(20_000), rig.case.vip()).carrying(&[7; 1_400]);
        refused(rig, &segment, &reset(rig.case, 0x0102_0304, None));
        let jumbo = segment.carrying(&rig.case.jumbo());
        refused(rig, &jumbo, &reset(rig.case, 0x0102_0304, None));
    });
}

#[test]
fn a_reset_is_never_answered() {
    each_where(Case::is_tcp, |rig| {
        serve_nobody(rig, 0);
        rig.drops(&asked(rig.case).tcp(|tcp| tcp.rst = true), Reason::NoEndpoint);
        let with_ack = rig.case.later(rig.case.pod(20_000), rig.case.vip());
        rig.drops(&with_ack.tcp(|tcp| tcp.rst = true), Reason::NoEndpoint);
    });
}

#[test]
fn a_datagram_is_answered_by_port_unreachable() {
    each_where(is_udp, |rig| {
        serve_nobody(rig, 0);
        for payload in [&[][..], b"x", b"short", &[7; 200], &[7; 1_400], &rig.case.jumbo()] {
            let asked = asked(rig.case).carrying(payload);
            refused(rig, &asked, &unreachable(rig.case, &asked));
        }
    });
}

fn is_udp(case: Case) -> bool {
    !case.is_tcp()
}

#[test]
fn a_datagram_with_ipv4_options_is_dropped() {
    each_where(
        |case| is_udp(case) && !case.v6,
        |rig| {
            serve_nobody(rig, 0);
            let mut asked = asked(rig.case);
            if let IpHeaders::Ipv4(ip, _) = &mut *asked.ip {
                ip.options = [1, 1, 1, 0].into();
            }
            rig.drops(&asked, Reason::NoEndpoint);
        },
    );
}

#[test]
fn a_segment_with_ipv4_options_is_reset_without_them() {
    each_where(
        |case| case.is_tcp() && !case.v6,
        |rig| {
            serve_nobody(rig, 0);
            let mut asked = asked(rig.case);
            if let IpHeaders::Ipv4(ip, _) = &mut *asked.ip {
                ip.options = [1, 1, 1, 0].into();
            }
            refused(rig, &asked, &reset(rig.case, 0, Some(SEQ.wrapping_add(1))));
        },
    );
}

#[test]
fn a_local_policy_without_a_local_endpoint_drops_silently_and_is_counted() {
    each(|rig| {
        serve_nobody(rig, Choice::DROP | Choice::LOCAL);
        rig.drops(&asked(rig.case), Reason::NoLocalEndpoint);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn insiders_and_outsiders_are_refused_apart() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let inside = rig.range(0, &[1]);
        let outside = nobody(Choice::DROP);
        rig.frontend(case.vip(), FrontendValue { outside, ..leading_to(inside) });
        assert_eq!(rig.chosen(&asked(case)), case.backend(1));
        rig.link(LINK, LinkValue::UPLINK, None);
        let outsider = case.opening(case.on_uplink(1, 20_000), case.vip());
        rig.drops(&outsider, Reason::NoLocalEndpoint);
    });
}

#[test]
fn a_known_flow_goes_on_when_its_service_has_lost_all_endpoints() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&asked(case));
        serve_nobody(rig, 0);
        let later = case.later(case.pod(20_000), case.vip());
        rig.send(&later).is(Verdict::Passed, &later.to(case.backend(1)));
    });
}

#[test]
fn a_datagram_to_a_backend_that_is_gone_is_refused_when_nobody_is_left() {
    each_where(is_udp, |rig| {
        let case = rig.case;
        rig.serve(1);
        rig.chosen(&asked(case));
        let free = BackendValue { generation: 2, service: 0, ..rig.backend_value(case.backend(1)) };
        rig.edit(Edit::Backend(1, free));
        serve_nobody(rig, 0);
        rig.send(&asked(case)).is(rig.turned_back(), &unreachable(case, &asked(case)));
        assert_eq!(rig.reasons(), REFUSED);
    });
}
