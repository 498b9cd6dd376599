//! Packet to flow key: Ethernet, IPv4 (RFC 791) or IPv6 (RFC 8200), TCP (RFC 9293) or UDP
//! (RFC 768). Reads, never writes. Next: `conntrack`.

use crate::packet::Packet;
use lb_common::flow::{Edge, FlowKey};
use lb_common::verdict::Reason;
use lb_common::wire::eth::{Eth, EtherType};
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::udp::Udp;
use lb_common::wire::{Addr, IpProto};

/// Why a stage did not go on.
pub(crate) enum Stop {
    /// The packet is none of our business: it passes untouched, uncounted.
    NotOurs,
    /// It is ours, but.
    Because(Reason),
}

impl From<Reason> for Stop {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        Self::Because(reason)
    }
}

/// Where the IP header begins.
pub(crate) const L3: usize = Eth::LEN;

/// What a packet is.
pub(crate) struct Seen {
    /// Its 5-tuple and where it was seen.
    pub(crate) key: FlowKey,
    /// Whether it is IPv6.
    pub(crate) v6: bool,
    /// Offset of the transport header in the frame, in bytes.
    pub(crate) l4: usize,
    /// Bytes of the packet from there on; padding of the frame may follow.
    pub(crate) l4_len: u32,
    /// Control bits of a TCP header; 0 otherwise.
    pub(crate) tcp_flags: u8,
}

impl Seen {
    /// Nothing yet, at `edge`.
    #[inline(always)]
    pub(crate) fn at(edge: Edge) -> Self {
        let key = FlowKey { edge, ..bytemuck::Zeroable::zeroed() };
        Self { key, v6: false, l4: 0, l4_len: 0, tcp_flags: 0 }
    }

    /// Whether it opens a TCP connection.
    #[inline(always)]
    pub(crate) fn is_syn(&self) -> bool {
        self.tcp_flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN
    }
}

/// What follows the IP header.
struct Transport {
    proto: IpProto,
    /// Offset of its header in the frame, in bytes.
    l4: usize,
    /// Its bytes, header included.
    len: u32,
}

/// Reads a packet into `seen`, whose edge is set. The caller owns the key's one place on the
/// stack: returned values would be copied, and a program has 512 bytes in all.
#[inline(always)]
pub(crate) fn parse<P: Packet>(packet: &mut P, seen: &mut Seen) -> Result<(), Stop> {
    packet.pull((L3 + Ipv6::LEN + Tcp::LEN) as u32);
    let transport = match packet.header::<Eth>(0).ok_or(Stop::NotOurs)?.ethertype {
        EtherType::IPV4 => ipv4(packet, seen)?,
        EtherType::IPV6 => ipv6(packet, seen)?,
        _ => return Err(Stop::NotOurs),
    };
    match transport.proto {
        IpProto::TCP => {
            let tcp = packet.header::<Tcp>(transport.l4).ok_or(Reason::Malformed)?;
            let header_len = tcp.header_len();
            if header_len < Tcp::LEN || header_len as u32 > transport.len {
                return Err(Reason::Malformed.into());
            }
            (seen.key.sport, seen.key.dport) = (tcp.src, tcp.dst);
            seen.tcp_flags = tcp.flags;
        }
        IpProto::UDP => {
            let udp = packet.header::<Udp>(transport.l4).ok_or(Reason::Malformed)?;
            if transport.len < Udp::LEN as u32 {
                return Err(Reason::Malformed.into());
            }
            (seen.key.sport, seen.key.dport) = (udp.src, udp.dst);
        }
        _ => return Err(Stop::NotOurs),
    }
    seen.key.proto = transport.proto;
    (seen.l4, seen.l4_len) = (transport.l4, transport.len);
    Ok(())
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &P, seen: &mut Seen) -> Result<Transport, Stop> {
    let ip = packet.header::<Ipv4>(L3).ok_or(Reason::Malformed)?;
    if ip.is_fragment() {
        return Err(Stop::NotOurs);
    }
    let header_len = ip.header_len();
    let len = claimed(packet, u32::from(ip.total_len()), L3)?;
    if ip.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || len < header_len as u32 {
        return Err(Reason::Malformed.into());
    }
    (seen.key.src, seen.key.dst) = (Addr::v4(ip.src), Addr::v4(ip.dst));
    seen.v6 = false;
    Ok(Transport { proto: ip.proto, l4: L3 + header_len, len: len - header_len as u32 })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P, seen: &mut Seen) -> Result<Transport, Stop> {
    const L4: usize = L3 + Ipv6::LEN;
    let ip = packet.header::<Ipv6>(L3).ok_or(Reason::Malformed)?;
    if ip.version_class_flow[0] >> 4 != 6 {
        return Err(Reason::Malformed.into());
    }
    let len = claimed(packet, u32::from(ip.payload_len()), L4)?;
    (seen.key.src, seen.key.dst) = (Addr(ip.src), Addr(ip.dst));
    seen.v6 = true;
    Ok(Transport { proto: ip.next_header, l4: L4, len })
}

/// A length as a header claims it, against the bytes behind `front`. Linux hands "BIG TCP" segments
/// of more than 65,535 bytes around with a length of 0 (RFC 2675 has the idea).
#[inline(always)]
fn claimed<P: Packet>(packet: &P, claim: u32, front: usize) -> Result<u32, Stop> {
    // The whole length is asked for only where the first buffer does not answer: XDP needs a
    // helper call for it.
    if claim != 0 && claim <= packet.readable().saturating_sub(front as u32) {
        return Ok(claim);
    }
    let there = packet.len().saturating_sub(front as u32);
    if claim == 0 && there > 65_535 {
        Ok(there)
    } else if claim > there {
        Err(Reason::Malformed.into())
    } else {
        Ok(claim)
    }
}
