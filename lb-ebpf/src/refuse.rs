//! The answer to a packet that is refused: a TCP reset (RFC 9293 section 3.10.7.1), or "port
//! unreachable" (RFC 792, RFC 4443 section 3.1) for UDP.
//!
//! The packet itself becomes the answer and turns back into the link it came from.

use crate::packet::Packet;
use crate::parse::{L3, Seen};
use crate::{forward, kernel};
use lb_common::algo::checksum;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;
use lb_common::wire::icmp::Icmp;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::tcp::Tcp;

const HOP_LIMIT: u8 = 64;
/// What an `ICMPv4` error quotes: the IP header and 8 bytes (RFC 792).
const QUOTE_V4: usize = Ipv4::LEN + 8;
/// What an `ICMPv6` error quotes: the same, for a packet without extension headers.
const QUOTE_V6: usize = Ipv6::LEN + 8;

/// Turns a refused packet into its answer. `Err(None)`: nothing may be answered.
#[inline(always)]
pub(crate) fn refuse<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Option<Reason>> {
    if seen.key.proto == IpProto::TCP {
        reset(packet, seen)?;
    } else if seen.v6 {
        unreachable_v6(packet, seen)?;
    } else {
        unreachable_v4(packet, seen)?;
    }
    forward::turn_back(packet)?;
    Ok(())
}

#[inline(never)]
fn reset<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Option<Reason>> {
    // RFC 9293: "if the incoming segment is a reset, it is discarded".
    if seen.tcp_flags & Tcp::RST != 0 {
        return Err(None);
    }
    let tcp = packet.header::<Tcp>(seen.l4).ok_or(Reason::Rewrite)?;
    let payload = seen.l4_len.wrapping_sub(tcp.header_len() as u32);
    let answer = Answer::to(tcp, seen.tcp_flags, payload);
    let l4 = start(packet, seen, IpProto::TCP, Tcp::LEN)?;
    *packet.header_mut(l4).ok_or(Reason::Rewrite)? = Tcp {
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
    let tcp = packet.header_mut::<Tcp>(l4).ok_or(Reason::Rewrite)?;
    let sum = kernel::sum(tcp) + pseudo_header(seen, IpProto::TCP, Tcp::LEN as u16);
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
fn unreachable_v4<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Option<Reason>> {
    // Options would have to be quoted whole; such packets are dropped instead.
    if seen.l4 != L3 + Ipv4::LEN {
        return Err(None);
    }
    let quote = Quote(*packet.header::<[u8; QUOTE_V4]>(L3).ok_or(Reason::Rewrite)?);
    let l4 = start(packet, seen, IpProto::ICMP, Icmp::LEN + QUOTE_V4)?;
    *packet.header_mut(l4 + Icmp::LEN).ok_or(Reason::Rewrite)? = quote.0;
    let kind = (Icmp::V4_UNREACHABLE, Icmp::V4_PORT);
    icmp(packet, l4, kind, kernel::sum(&quote.0))
}

#[inline(never)]
fn unreachable_v6<P: Packet>(packet: &mut P, seen: &Seen) -> Result<(), Option<Reason>> {
    const LEN: usize = Icmp::LEN + QUOTE_V6;
    let quote = Quote(*packet.header::<[u8; QUOTE_V6]>(L3).ok_or(Reason::Rewrite)?);
    let l4 = start(packet, seen, IpProto::ICMPV6, LEN)?;
    *packet.header_mut(l4 + Icmp::LEN).ok_or(Reason::Rewrite)? = quote.0;
    let kind = (Icmp::V6_UNREACHABLE, Icmp::V6_PORT);
    let covered = kernel::sum(&quote.0) + pseudo_header(seen, IpProto::ICMPV6, LEN as u16);
    icmp(packet, l4, kind, covered)
}

/// Writes an ICMP error of this type and code, with a checksum over itself and `covered`.
#[inline(always)]
fn icmp<P: Packet>(
    packet: &mut P,
    at: usize,
    (kind, code): (u8, u8),
    covered: u32,
) -> Result<(), Option<Reason>> {
    let icmp = packet.header_mut::<Icmp>(at).ok_or(Reason::Rewrite)?;
    *icmp = Icmp { kind, code, check: [0; 2], rest: [0; 4] };
    icmp.check = (!checksum::fold(covered + kernel::sum(icmp))).to_ne_bytes();
    Ok(())
}

/// Makes the frame long enough for `len` bytes of `proto` from the frontend to the client, and
/// writes its IP header. Gives the offset behind it.
#[inline(always)]
fn start<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    proto: IpProto,
    len: usize,
) -> Result<usize, Option<Reason>> {
    let l4 = L3 + if seen.v6 { Ipv6::LEN } else { Ipv4::LEN };
    packet.resize((l4 + len) as u32)?;
    if seen.v6 {
        *packet.header_mut(L3).ok_or(Reason::Rewrite)? = Ipv6 {
            version_class_flow: [0x60, 0, 0, 0],
            payload_len: (len as u16).to_be_bytes(),
            next_header: proto,
            hop_limit: HOP_LIMIT,
            src: seen.key.dst.0,
            dst: seen.key.src.0,
        };
    } else {
        let ip = packet.header_mut::<Ipv4>(L3).ok_or(Reason::Rewrite)?;
        *ip = Ipv4 {
            version_ihl: Ipv4::VERSION_IHL,
            tos: 0,
            total_len: ((Ipv4::LEN + len) as u16).to_be_bytes(),
            id: [0; 2],
            frag: [Ipv4::DONT_FRAGMENT, 0],
            ttl: HOP_LIMIT,
            proto,
            check: [0; 2],
            src: seen.key.dst.low4(),
            dst: seen.key.src.low4(),
        };
        ip.check = (!checksum::fold(kernel::sum(ip))).to_ne_bytes();
    }
    Ok(l4)
}

/// The sum over the pseudo-header of RFC 9293 section 3.1 or RFC 8200 section 8.1. The two differ
/// by zeros only, and so do an IPv4 address and its mapped form: all ones count as zero.
#[inline(always)]
fn pseudo_header(seen: &Seen, proto: IpProto, len: u16) -> u32 {
    // Words of the machine's order; see `lb_common::algo::checksum`.
    let rest = u32::from(u16::from_ne_bytes([0, proto.0]))
        + u32::from(u16::from_ne_bytes(len.to_be_bytes()));
    kernel::sum(&seen.key.src.0) + kernel::sum(&seen.key.dst.0) + rest
}
