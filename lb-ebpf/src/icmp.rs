//! ICMP errors about translated packets (RFC 792, RFC 4443 section 2.4): the packet that they
//! quote, and the address that they go to, become what the receiver knows.
//!
//! An error travels against the packet it quotes, so the half of the flow that it belongs to is
//! the one of the quoted packet's answers, at the same edge. Nothing is noted in the flow: anybody
//! can send an error. Before: `unusual`. After: `forward`.

use crate::forward::{self, Verdict};
use crate::maps;
use crate::packet::Packet;
use crate::packet::TcFrame;
use crate::parse::Seen;
use crate::rewrite;
use crate::stage::Stop;
use crate::unusual::Chain;
use lb_common::algo::checksum;
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::icmp::Icmp;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::udp::Udp;
use lb_common::wire::{Addr, IpProto, Ports};

/// Where the headers of a quoted packet are in the frame, in bytes.
struct Quoted {
    l3: usize,
    l4: usize,
}

/// Translates an ICMP error, if it is one and quotes a packet of a known flow.
#[inline(always)]
pub(crate) fn error(packet: &mut TcFrame, seen: &Seen) -> Result<Verdict, Stop> {
    let message = packet.header::<Icmp>(seen.l4()).ok_or(Reason::Malformed)?;
    if !message.is_error(seen.v6()) {
        return Err(Stop::NotOurs);
    }
    let (mut key, quoted) = quoted(packet, seen)?;
    // An error goes to whoever sent the packet.
    if key.dst != seen.key.dst {
        return Err(Reason::Malformed.into());
    }
    key.edge = seen.key.edge;
    let entry = maps::flow(&key).ok_or(Stop::NotOurs)?;
    let value = entry.value();
    // Whoever translates the flow translates what is said about it.
    if value.is_foreign() {
        return Err(Stop::NotOurs);
    }
    let verdict = forward::by_tc(packet, seen, value)?;
    let from_peer = seen.key.src == key.src;
    let inner = rewrite_quoted(packet, seen, &quoted, &key, value)?;
    rewrite_outer(packet, seen, value, from_peer, inner)?;
    Ok(verdict)
}

/// Reads the quoted packet; gives the key of its answers.
#[inline(always)]
fn quoted(packet: &TcFrame, seen: &Seen) -> Result<(FlowKey, Quoted), Stop> {
    let l3 = seen.l4() + Icmp::LEN;
    let (src, dst, proto, l4) = if seen.v6() {
        let ip = packet.header::<Ipv6>(l3).ok_or(Reason::Malformed)?;
        if ip.version_class_flow[0] >> 4 != 6 {
            return Err(Reason::Malformed.into());
        }
        let mut chain = Chain::new(ip.next_header, l3 + Ipv6::LEN);
        chain.walk(packet)?;
        if chain.is_later_fragment() {
            return Err(Stop::NotOurs);
        }
        (Addr(ip.src), Addr(ip.dst), chain.proto, chain.end)
    } else {
        let ip = packet.header::<Ipv4>(l3).ok_or(Reason::Malformed)?;
        if ip.version_ihl >> 4 != 4 || ip.header_len() < Ipv4::LEN {
            return Err(Reason::Malformed.into());
        }
        if ip.is_later_fragment() {
            return Err(Stop::NotOurs);
        }
        (Addr::v4(ip.src), Addr::v4(ip.dst), ip.proto, l3 + ip.header_len())
    };
    if !matches!(proto, IpProto::TCP | IpProto::UDP | IpProto::SCTP) {
        return Err(Stop::NotOurs);
    }
    // At least 8 bytes of it are quoted (RFC 792), and they are part of the message.
    if l4 + 8 > seen.l4() + seen.l4_len as usize {
        return Err(Reason::Malformed.into());
    }
    let ports = packet.header::<Ports>(l4).ok_or(Reason::Malformed)?;
    let key = FlowKey {
        src: dst,
        dst: src,
        sport: ports.dst,
        dport: ports.src,
        proto,
        edge: seen.key.edge,
        zero: [0; 2],
    };
    Ok((key, Quoted { l3, l4 }))
}

/// Makes the quoted packet the one that the receiver sent. Gives the difference that this makes
/// to the checksum of the message.
#[inline(always)]
fn rewrite_quoted(
    packet: &mut TcFrame,
    seen: &Seen,
    quoted: &Quoted,
    key: &FlowKey,
    value: &FlowValue,
) -> Result<u16, Reason> {
    let mut diff = value.port_diff;
    if seen.v6() {
        let ip = packet.header_mut::<Ipv6>(quoted.l3).ok_or(Reason::Rewrite)?;
        (ip.src, ip.dst) = (value.dst.0, value.src.0);
        diff = checksum::add(diff, value.addr_diff);
    } else {
        // The header checksum takes up what the addresses change: the message sees nothing of it.
        let ip = packet.header_mut::<Ipv4>(quoted.l3).ok_or(Reason::Rewrite)?;
        (ip.src, ip.dst) = (value.dst.low4(), value.src.low4());
        ip.check = checksum::update(ip.check, value.addr_diff);
    }
    let ports = packet.header_mut::<Ports>(quoted.l4).ok_or(Reason::Rewrite)?;
    *ports = Ports { src: value.dport, dst: value.sport };
    let check = quoted_checksum(packet, seen, quoted, key.proto, value);
    Ok(checksum::add(diff, check))
}

/// Changes the checksum of the quoted packet if so much of it is quoted. Gives the difference.
#[inline(always)]
fn quoted_checksum(
    packet: &mut TcFrame,
    seen: &Seen,
    quoted: &Quoted,
    proto: IpProto,
    value: &FlowValue,
) -> u16 {
    let offset = match proto {
        IpProto::UDP => Udp::CHECK_OFFSET,
        IpProto::TCP => Tcp::CHECK_OFFSET,
        // A CRC over bytes that are not quoted.
        _ => return 0,
    };
    let at = quoted.l4 + offset;
    let inside = at + 2 <= seen.l4() + seen.l4_len as usize;
    let Some(field) = packet.header_mut::<[u8; 2]>(at).filter(|_| inside) else { return 0 };
    let (old, diff) = (*field, checksum::add(value.addr_diff, value.port_diff));
    *field = if proto == IpProto::UDP {
        checksum::update_udp(old, diff)
    } else {
        checksum::update(old, diff)
    };
    checksum::diff(old, *field)
}

/// Makes the error go to the receiver, and come from the frontend if it came from the peer
/// itself; a router on the way stays what it is.
#[inline(always)]
fn rewrite_outer(
    packet: &mut TcFrame,
    seen: &Seen,
    value: &FlowValue,
    from_peer: bool,
    inner: u16,
) -> Result<(), Reason> {
    let src = if from_peer { value.src } else { seen.key.src };
    let outer = checksum::add(
        checksum::addr_diff(&seen.key.src, &src),
        checksum::addr_diff(&seen.key.dst, &value.dst),
    );
    let new = FlowValue { src, addr_diff: outer, ..*value };
    rewrite::addresses(packet, seen, &new, forward::takes_hop(value))?;
    let message = packet.header_mut::<Icmp>(seen.l4()).ok_or(Reason::Rewrite)?;
    let pseudo_header = if seen.v6() { outer } else { 0 };
    message.check = checksum::update(message.check, checksum::add(inner, pseudo_header));
    Ok(())
}
