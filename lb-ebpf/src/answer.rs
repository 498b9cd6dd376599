//! Answers to packets that cannot go on: a TCP reset (RFC 9293 section 3.10.7.1), ICMP errors
//! (RFC 792, RFC 1191, RFC 4443 section 3), and echo replies.
//!
//! The packet itself becomes the answer and turns back into the link it came from. A refusal comes
//! from the frontend; that a packet was too big, or had no hops left, is said by the node.

use crate::packet::Packet;
use crate::parse::Seen;
use crate::stage::Errand;
use crate::{forward, kernel, lookup};
use lb_common::algo::checksum;
use lb_common::verdict::Reason;
use lb_common::wire::icmp::Icmp;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::{Extension, Ipv6};
use lb_common::wire::tcp::Tcp;
use lb_common::wire::{Addr, IpProto};

const HOP_LIMIT: u8 = 64;
/// What an `ICMPv4` error quotes: the IP header and 8 bytes (RFC 792).
const QUOTE_V4: usize = Ipv4::LEN + 8;
/// What an `ICMPv6` error quotes: the same, for a packet without extension headers.
const QUOTE_V6: usize = Ipv6::LEN + 8;

/// Nothing may be answered, or the kernel did not let us.
pub(crate) struct Unanswered;

/// Turns a packet into its answer.
#[inline(always)]
pub(crate) fn answer<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    errand: &Errand,
) -> Result<(), Unanswered> {
    let reason = errand.reason;
    if reason == Reason::Echo as u32 {
        echo(packet, seen)?;
    } else if is_beyond_errors(seen) {
        return Err(Unanswered);
    } else if reason == Reason::TooBig as u32 || reason == Reason::HopLimit as u32 {
        let node = lookup::own_addr(packet.link(), seen.v6()).unwrap_or(seen.key.dst);
        error(packet, seen, &Error::on_the_way(seen, errand, node))?;
    } else if seen.key.proto == IpProto::TCP {
        reset(packet, seen)?;
    } else {
        error(packet, seen, &Error::port_unreachable(seen))?;
    }
    forward::turn_back(packet).or(Err(Unanswered))
}

/// Whether nobody is told what happened to this packet: it is an error itself, or a fragment behind
/// the first (RFC 1122 section 3.2.2, RFC 4443 section 2.4 e.1).
#[inline(always)]
fn is_beyond_errors(seen: &Seen) -> bool {
    seen.is_later_fragment() || matches!(seen.key.proto, IpProto::ICMP | IpProto::ICMPV6)
}

/// An ICMP error.
struct Error {
    from: Addr,
    kind: u8,
    code: u8,
    rest: [u8; 4],
}

impl Error {
    #[inline(always)]
    fn port_unreachable(seen: &Seen) -> Self {
        let (kind, code) = if seen.v6() {
            (Icmp::V6_UNREACHABLE, Icmp::V6_PORT)
        } else {
            (Icmp::V4_UNREACHABLE, Icmp::V4_PORT)
        };
        Self { from: seen.key.dst, kind, code, rest: [0; 4] }
    }

    /// The error of a node that cannot send a packet on.
    #[inline(always)]
    fn on_the_way(seen: &Seen, errand: &Errand, node: Addr) -> Self {
        let too_big = errand.reason == Reason::TooBig as u32;
        let (kind, code) = match (too_big, seen.v6()) {
            (true, true) => (Icmp::V6_TOO_BIG, 0),
            (true, false) => (Icmp::V4_UNREACHABLE, Icmp::V4_FRAGMENTATION),
            (false, true) => (Icmp::V6_TIME_EXCEEDED, 0),
            (false, false) => (Icmp::V4_TIME_EXCEEDED, 0),
        };
        // 0 unless it was too big. IPv4 has two bytes for it, behind two that are zero.
        Self { from: node, kind, code, rest: errand.mtu.to_be_bytes() }
    }
}

#[inline(always)]
fn error<P: Packet>(packet: &mut P, seen: &Seen, error: &Error) -> Result<(), Unanswered> {
    if seen.v6() { error_v6(packet, seen, error) } else { error_v4(packet, seen, error) }
}

/// Makes an echo request the reply (RFC 792 "echo", RFC 4443 section 4.2).
#[inline(never)]
fn echo<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Unanswered> {
    if seen.v6() {
        let ip = packet.header_mut::<Ipv6>(seen.l3()).ok_or(Unanswered)?;
        (ip.src, ip.dst, ip.hop_limit) = (ip.dst, ip.src, HOP_LIMIT);
    } else {
        let ip = packet.header_mut::<Ipv4>(seen.l3()).ok_or(Unanswered)?;
        let old = [ip.ttl, ip.proto.0];
        (ip.src, ip.dst, ip.ttl) = (ip.dst, ip.src, HOP_LIMIT);
        ip.check = checksum::update(ip.check, checksum::diff(old, [ip.ttl, ip.proto.0]));
    }
    let icmp = packet.header_mut::<Icmp>(seen.l4()).ok_or(Unanswered)?;
    let old = [icmp.kind, icmp.code];
    icmp.kind = if seen.v6() { Icmp::V6_ECHO_REPLY } else { Icmp::V4_ECHO_REPLY };
    icmp.check = checksum::update(icmp.check, checksum::diff(old, [icmp.kind, icmp.code]));
    Ok(())
}

#[inline(never)]
fn reset<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Unanswered> {
    // RFC 9293: "if the incoming segment is a reset, it is discarded".
    if seen.tcp_flags & Tcp::RST != 0 {
        return Err(Unanswered);
    }
    let tcp = packet.header::<Tcp>(seen.l4()).ok_or(Unanswered)?;
    let payload = seen.l4_len.wrapping_sub(tcp.header_len() as u32);
    let answer = Answer::to(tcp, seen.tcp_flags, payload);
    let l4 = start(packet, seen, &seen.key.dst, (IpProto::TCP, Tcp::LEN))?;
    *packet.header_mut(l4).ok_or(Unanswered)? = Tcp {
        src: seen.key.dport,
        dst: seen.key.sport,
        seq: answer.seq.to_ne_bytes(),
        ack: answer.ack.to_ne_bytes(),
        data_offset: (Tcp::LEN as u8 / 4) << 4,
        flags: answer.flags,
        window: [0; 2],
        check: [0; 2],
        urgent: [0; 2],
    };
    let tcp = packet.header_mut::<Tcp>(l4).ok_or(Unanswered)?;
    let sum = kernel::sum(tcp)
        + pseudo_header(&seen.key.dst, &seen.key.src, IpProto::TCP, Tcp::LEN as u16);
    tcp.check = (!checksum::fold(sum)).to_ne_bytes();
    Ok(())
}

/// Numbers of a reset; words in network order.
struct Answer {
    seq: u32,
    ack: u32,
    flags: u8,
}

impl Answer {
    /// The reset that answers `tcp`, which has `payload` bytes behind its header.
    #[inline(always)]
    fn to(tcp: &Tcp, flags: u8, payload: u32) -> Self {
        if flags & Tcp::ACK != 0 {
            return Self { seq: u32::from_ne_bytes(tcp.ack), ack: 0, flags: Tcp::RST };
        }
        let length = payload + u32::from(flags & Tcp::SYN != 0) + u32::from(flags & Tcp::FIN != 0);
        let next = u32::from_be_bytes(tcp.seq).wrapping_add(length);
        Self { seq: 0, ack: u32::from_ne_bytes(next.to_be_bytes()), flags: Tcp::RST | Tcp::ACK }
    }
}

/// Bytes of the refused packet; aligned, because the stack takes aligned words only.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Quote<const N: usize>([u8; N]);

#[inline(never)]
fn error_v4<P: Packet>(packet: &mut P, seen: &Seen, error: &Error) -> Result<(), Unanswered> {
    // Options would have to be quoted whole; such packets are dropped instead.
    if seen.l4() != seen.l3() + Ipv4::LEN {
        return Err(Unanswered);
    }
    let quote = Quote(*packet.header::<[u8; QUOTE_V4]>(seen.l3()).ok_or(Unanswered)?);
    let l4 = start(packet, seen, &error.from, (IpProto::ICMP, Icmp::LEN + QUOTE_V4))?;
    *packet.header_mut(l4 + Icmp::LEN).ok_or(Unanswered)? = quote.0;
    icmp(packet, l4, error, kernel::sum(&quote.0))
}

#[inline(never)]
fn error_v6<P: Packet>(packet: &mut P, seen: &Seen, error: &Error) -> Result<(), Unanswered> {
    /// A first fragment: whoever sends long datagrams has to learn the size too.
    const FRAGMENT: usize = Ipv6::LEN + Extension::LEN;
    // More extension headers would have to be quoted whole; such packets are dropped instead.
    match seen.l4() - seen.l3() {
        Ipv6::LEN => quote_v6::<P, QUOTE_V6>(packet, seen, error),
        FRAGMENT => quote_v6::<P, { QUOTE_V6 + Extension::LEN }>(packet, seen, error),
        _ => Err(Unanswered),
    }
}

#[inline(always)]
fn quote_v6<P: Packet, const N: usize>(
    packet: &mut P,
    seen: &Seen,
    error: &Error,
) -> Result<(), Unanswered> {
    let len = Icmp::LEN + N;
    let quote = Quote(*packet.header::<[u8; N]>(seen.l3()).ok_or(Unanswered)?);
    let l4 = start(packet, seen, &error.from, (IpProto::ICMPV6, len))?;
    *packet.header_mut(l4 + Icmp::LEN).ok_or(Unanswered)? = quote.0;
    let pseudo = pseudo_header(&error.from, &seen.key.src, IpProto::ICMPV6, len as u16);
    icmp(packet, l4, error, kernel::sum(&quote.0) + pseudo)
}

/// Writes the header of an error, with a checksum over itself and `covered`.
#[inline(always)]
fn icmp<P: Packet>(
    packet: &mut P,
    at: usize,
    error: &Error,
    covered: u32,
) -> Result<(), Unanswered> {
    let icmp = packet.header_mut::<Icmp>(at).ok_or(Unanswered)?;
    *icmp = Icmp { kind: error.kind, code: error.code, check: [0; 2], rest: error.rest };
    icmp.check = (!checksum::fold(covered + kernel::sum(icmp))).to_ne_bytes();
    Ok(())
}

/// Makes the frame long enough for `len` bytes of `proto` to the client, and writes its IP header.
/// Gives the offset behind it.
#[inline(always)]
fn start<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    from: &Addr,
    (proto, len): (IpProto, usize),
) -> Result<usize, Unanswered> {
    let l3 = seen.l3();
    let l4 = l3 + if seen.v6() { Ipv6::LEN } else { Ipv4::LEN };
    packet.resize((l4 + len) as u32).or(Err(Unanswered))?;
    if seen.v6() {
        *packet.header_mut(l3).ok_or(Unanswered)? = Ipv6 {
            version_class_flow: [0x60, 0, 0, 0],
            payload_len: (len as u16).to_be_bytes(),
            next_header: proto,
            hop_limit: HOP_LIMIT,
            src: from.0,
            dst: seen.key.src.0,
        };
    } else {
        let ip = packet.header_mut::<Ipv4>(l3).ok_or(Unanswered)?;
        *ip = Ipv4 {
            version_ihl: Ipv4::VERSION_IHL,
            tos: 0,
            total_len: ((Ipv4::LEN + len) as u16).to_be_bytes(),
            id: [0; 2],
            frag: [Ipv4::DONT_FRAGMENT, 0],
            ttl: HOP_LIMIT,
            proto,
            check: [0; 2],
            src: from.low4(),
            dst: seen.key.src.low4(),
        };
        ip.check = (!checksum::fold(kernel::sum(ip))).to_ne_bytes();
    }
    Ok(l4)
}

/// The sum over the pseudo-header of RFC 9293 section 3.1 or RFC 8200 section 8.1. The two differ
/// by zeros only, and so do an IPv4 address and its mapped form: all ones count as zero.
#[inline(always)]
fn pseudo_header(src: &Addr, dst: &Addr, proto: IpProto, len: u16) -> u32 {
    // Words of the machine's order; see `lb_common::algo::checksum`.
    let rest = u32::from(u16::from_ne_bytes([0, proto.0]))
        + u32::from(u16::from_ne_bytes(len.to_be_bytes()));
    kernel::sum(&src.0) + kernel::sum(&dst.0) + rest
}
