//! Packet to flow key, for what nearly all packets are: Ethernet, IPv4 (RFC 791) or IPv6
//! (RFC 8200) without extension headers, TCP (RFC 9293) or UDP (RFC 768), whole.
//!
//! Reads, never writes. What is rarer goes on to `unusual`. Next: `conntrack`.

use crate::packet::Packet;
use crate::stage::{Stage, Stop};
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::fragment::FragmentKey;
use lb_common::verdict::Reason;
use lb_common::wire::eth::{Eth, EtherType};
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::udp::Udp;
use lb_common::wire::{Addr, IpProto};

/// What a packet is. Plain bytes, because it is handed over to other programs.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Seen {
    /// Its 5-tuple and where it was seen.
    pub(crate) key: FlowKey,
    /// Bytes of the packet from the transport header on; padding of the frame may follow.
    pub(crate) l4_len: u32,
    l3: u16,
    l4: u16,
    /// Control bits of a TCP header, or what an SCTP chunk means in their terms; 0 otherwise.
    pub(crate) tcp_flags: u8,
    v6: u8,
    /// [`Seen::FIRST`] or [`Seen::LATER`] of several fragments; 0: none.
    fragment: u8,
    zero: u8,
    /// The identification of a fragment ([`FragmentKey::id`]).
    fragment_id: [u8; 4],
}

impl Seen {
    const FIRST: u8 = 1;
    const LATER: u8 = 2;

    /// Nothing yet, at `edge`.
    #[inline(always)]
    pub(crate) fn at(edge: Edge) -> Self {
        let zeroed: Self = bytemuck::Zeroable::zeroed();
        Self { key: FlowKey { edge, ..zeroed.key }, ..zeroed }
    }

    /// Offset of the IP header in the frame, in bytes. The mask tells the verifier that it is
    /// small when it comes out of a map.
    #[inline(always)]
    pub(crate) fn l3(&self) -> usize {
        usize::from(self.l3 & 0x1f)
    }

    /// Offset of the transport header in the frame, in bytes.
    #[inline(always)]
    pub(crate) fn l4(&self) -> usize {
        usize::from(self.l4 & 0x1ff)
    }

    /// Bytes of the packet from the IP header on.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        (self.l4() - self.l3()) as u32 + self.l4_len
    }

    /// Sets both.
    #[inline(always)]
    pub(crate) fn set_offsets(&mut self, l3: usize, l4: usize) {
        (self.l3, self.l4) = (l3 as u16, l4 as u16);
    }

    /// Whether it is IPv6.
    #[inline(always)]
    pub(crate) fn v6(&self) -> bool {
        self.v6 != 0
    }

    /// Sets the addresses and their family.
    #[inline(always)]
    pub(crate) fn set_addrs(&mut self, src: Addr, dst: Addr, v6: bool) {
        (self.key.src, self.key.dst) = (src, dst);
        self.v6 = u8::from(v6);
    }

    /// Whether it opens a TCP connection or an SCTP association.
    #[inline(always)]
    pub(crate) fn is_syn(&self) -> bool {
        self.tcp_flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN
    }

    /// Notes that it is a fragment; `first`: the one with the transport header.
    #[inline(always)]
    pub(crate) fn set_fragment(&mut self, id: [u8; 4], first: bool) {
        let fragment = if first { Self::FIRST } else { Self::LATER };
        (self.fragment_id, self.fragment) = (id, fragment);
    }

    /// Whether other fragments of its datagram follow.
    #[inline(always)]
    pub(crate) fn is_first_fragment(&self) -> bool {
        self.fragment == Self::FIRST
    }

    /// Whether it is a fragment behind the first.
    #[inline(always)]
    pub(crate) fn is_later_fragment(&self) -> bool {
        self.fragment == Self::LATER
    }

    /// The datagram that it is a fragment of.
    #[inline(always)]
    pub(crate) fn datagram(&self) -> FragmentKey {
        let FlowKey { src, dst, proto, edge, .. } = self.key;
        // Fragments behind the first do not know it where extension headers were cut.
        let proto = if self.v6() { FragmentKey::ANY_PROTO } else { proto };
        FragmentKey { src, dst, id: self.fragment_id, proto, edge, zero: [0; 2] }
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
    packet.pull((Eth::LEN + Ipv6::LEN + Tcp::LEN) as u32);
    let transport = match packet.header::<Eth>(0).ok_or(Stop::NotOurs)?.ethertype {
        EtherType::IPV4 => ipv4(packet, seen)?,
        EtherType::IPV6 => ipv6(packet, seen)?,
        EtherType::VLAN | EtherType::SERVICE_VLAN => return Err(Stop::Next(Stage::Unusual)),
        _ => return Err(Stop::NotOurs),
    };
    match transport.proto {
        IpProto::TCP => tcp(packet, transport.l4, transport.len, seen)?,
        IpProto::UDP => udp(packet, transport.l4, transport.len, seen)?,
        proto if is_unusual(proto, seen.v6()) => return Err(Stop::Next(Stage::Unusual)),
        _ => return Err(Stop::NotOurs),
    }
    seen.key.proto = transport.proto;
    seen.set_offsets(Eth::LEN, transport.l4);
    seen.l4_len = transport.len;
    Ok(())
}

/// Whether there is more to be read behind a header of this kind.
#[inline(always)]
fn is_unusual(proto: IpProto, v6: bool) -> bool {
    let either = proto == IpProto::SCTP;
    let own = if v6 {
        matches!(
            proto,
            IpProto::ICMPV6
                | IpProto::HOP_BY_HOP
                | IpProto::ROUTING
                | IpProto::FRAGMENT
                | IpProto::AUTHENTICATION
                | IpProto::DESTINATION_OPTIONS
        )
    } else {
        proto == IpProto::ICMP
    };
    either || own
}

/// Reads a TCP header at `l4` of a packet that has `len` bytes from there on.
#[inline(always)]
pub(crate) fn tcp<P: Packet>(
    packet: &P,
    l4: usize,
    len: u32,
    seen: &mut Seen,
) -> Result<(), Reason> {
    let tcp = packet.header::<Tcp>(l4).ok_or(Reason::Malformed)?;
    let header_len = tcp.header_len();
    if header_len < Tcp::LEN || header_len as u32 > len {
        return Err(Reason::Malformed);
    }
    (seen.key.sport, seen.key.dport) = (tcp.src, tcp.dst);
    seen.tcp_flags = tcp.flags;
    Ok(())
}

/// Reads a UDP header there.
#[inline(always)]
pub(crate) fn udp<P: Packet>(
    packet: &P,
    l4: usize,
    len: u32,
    seen: &mut Seen,
) -> Result<(), Reason> {
    let udp = packet.header::<Udp>(l4).ok_or(Reason::Malformed)?;
    // The length of a fragment is that of its datagram. 0 stands for all in a jumbogram (RFC 2675).
    let claim = u32::from(udp.len());
    let fits = claim <= len && (claim >= Udp::LEN as u32 || claim == 0);
    if len < Udp::LEN as u32 || (!fits && !seen.is_first_fragment()) {
        return Err(Reason::Malformed);
    }
    (seen.key.sport, seen.key.dport) = (udp.src, udp.dst);
    Ok(())
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &P, seen: &mut Seen) -> Result<Transport, Stop> {
    let ip = packet.header::<Ipv4>(Eth::LEN).ok_or(Reason::Malformed)?;
    if ip.is_fragment() {
        return Err(Stop::Next(Stage::Unusual));
    }
    let header_len = ip.header_len();
    let len = claimed(packet, u32::from(ip.total_len()), Eth::LEN)?;
    if ip.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || len < header_len as u32 {
        return Err(Reason::Malformed.into());
    }
    seen.set_addrs(Addr::v4(ip.src), Addr::v4(ip.dst), false);
    Ok(Transport { proto: ip.proto, l4: Eth::LEN + header_len, len: len - header_len as u32 })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P, seen: &mut Seen) -> Result<Transport, Stop> {
    const L4: usize = Eth::LEN + Ipv6::LEN;
    let ip = packet.header::<Ipv6>(Eth::LEN).ok_or(Reason::Malformed)?;
    if ip.version_class_flow[0] >> 4 != 6 {
        return Err(Reason::Malformed.into());
    }
    let len = claimed(packet, u32::from(ip.payload_len()), L4)?;
    seen.set_addrs(Addr(ip.src), Addr(ip.dst), true);
    Ok(Transport { proto: ip.next_header, l4: L4, len })
}

/// A length as a header claims it, against the bytes behind `front`. Linux hands "BIG TCP" segments
/// of more than 65,535 bytes around with a length of 0 (RFC 2675 has the idea).
#[inline(always)]
pub(crate) fn claimed<P: Packet>(packet: &P, claim: u32, front: usize) -> Result<u32, Reason> {
    // The whole length is asked for only where the first buffer does not answer: XDP needs a
    // helper call for it.
    if claim != 0 && claim <= packet.readable().saturating_sub(front as u32) {
        return Ok(claim);
    }
    let there = packet.len().saturating_sub(front as u32);
    if claim == 0 && there > 65_535 {
        Ok(there)
    } else if claim > there {
        Err(Reason::Malformed)
    } else {
        Ok(claim)
    }
}
