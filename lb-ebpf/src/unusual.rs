//! Packet to flow key, for what is rare: VLAN tags in the frame, IPv4 and IPv6 fragments, IPv6
//! extension headers (RFC 8200 section 4), SCTP (RFC 9260), ICMP.
//!
//! Reads, never writes. Before: `parse` found a packet that it does not read. Next: `conntrack`,
//! `fragment` or `icmp`, by what the packet turned out to be.

use crate::packet::Packet;
use crate::parse::{self, Seen, claimed};
use crate::stage::Stop;
use lb_common::verdict::Reason;
use lb_common::wire::eth::{Eth, EtherType};
use lb_common::wire::icmp::Icmp;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::{Extension, Ipv6};
use lb_common::wire::sctp::Sctp;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::vlan::Vlan;
use lb_common::wire::{Addr, IpProto};

/// What an unusual packet is.
pub(crate) enum Kind {
    /// It has a transport header: whole, or the first fragment.
    Transport,
    /// A fragment without a transport header.
    LaterFragment,
    /// An ICMP message, whole.
    Icmp,
}

/// Bytes that are made readable: two tags, IPv6, some extension headers, and an ICMP error that
/// quotes a packet like that one up to its TCP checksum.
const PULLED: u32 = 256;
/// IPv6 extension headers that are walked (RFC 8200 section 4.1 lists at most 6 in a row).
const MAX_EXTENSIONS: usize = 6;

/// Reads a packet into `seen`, whose edge is set.
#[inline(always)]
pub(crate) fn parse<P: Packet>(packet: &mut P, seen: &mut Seen) -> Result<Kind, Stop> {
    packet.pull(packet.len().min(PULLED));
    let (ethertype, l3) = behind_tags(packet)?;
    let later = match ethertype {
        EtherType::IPV4 => ipv4(packet, l3, seen)?,
        EtherType::IPV6 => ipv6(packet, l3, seen)?,
        _ => return Err(Stop::NotOurs),
    };
    if later {
        return Ok(Kind::LaterFragment);
    }
    match seen.key.proto {
        IpProto::TCP => parse::tcp(packet, seen.l4(), seen.l4_len, seen)?,
        IpProto::UDP => parse::udp(packet, seen.l4(), seen.l4_len, seen)?,
        IpProto::SCTP => sctp(packet, seen)?,
        IpProto::ICMP if !seen.v6() => return icmp(seen),
        IpProto::ICMPV6 if seen.v6() => return icmp(seen),
        _ => return Err(Stop::NotOurs),
    }
    Ok(Kind::Transport)
}

/// What is behind the tags of a frame, and where; two are read (IEEE 802.1ad).
#[inline(always)]
fn behind_tags<P: Packet>(packet: &P) -> Result<(EtherType, usize), Stop> {
    let mut ethertype = packet.header::<Eth>(0).ok_or(Stop::NotOurs)?.ethertype;
    let mut at = Eth::LEN;
    for _ in 0..2 {
        if ethertype != EtherType::VLAN && ethertype != EtherType::SERVICE_VLAN {
            break;
        }
        ethertype = packet.header::<Vlan>(at).ok_or(Stop::NotOurs)?.ethertype;
        at += Vlan::LEN;
    }
    Ok((ethertype, at))
}

/// True: a fragment behind the first.
#[inline(always)]
fn ipv4<P: Packet>(packet: &P, l3: usize, seen: &mut Seen) -> Result<bool, Stop> {
    let ip = packet.header::<Ipv4>(l3).ok_or(Reason::Malformed)?;
    let header_len = ip.header_len();
    let len = claimed(packet, u32::from(ip.total_len()), l3)?;
    if ip.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || len < header_len as u32 {
        return Err(Reason::Malformed.into());
    }
    seen.set_addrs(Addr::v4(ip.src), Addr::v4(ip.dst), false);
    seen.key.proto = ip.proto;
    seen.set_offsets(l3, l3 + header_len);
    seen.l4_len = len - header_len as u32;
    let later = ip.is_later_fragment();
    if ip.is_fragment() {
        seen.set_fragment([ip.id[0], ip.id[1], 0, 0], !later);
    }
    if later && overlaps_header(ip.proto, ip.fragment_offset()) {
        return Err(Reason::Malformed.into());
    }
    Ok(later)
}

/// Whether a fragment at `offset` (bytes) would write over a transport header that was already
/// read (RFC 3128 section 2).
#[inline(always)]
fn overlaps_header(proto: IpProto, offset: u32) -> bool {
    let header = match proto {
        IpProto::TCP => Tcp::LEN,
        IpProto::SCTP => Sctp::LEN,
        _ => 0,
    };
    offset < header as u32
}

/// The same.
#[inline(always)]
fn ipv6<P: Packet>(packet: &P, l3: usize, seen: &mut Seen) -> Result<bool, Stop> {
    let ip = packet.header::<Ipv6>(l3).ok_or(Reason::Malformed)?;
    if ip.version_class_flow[0] >> 4 != 6 {
        return Err(Reason::Malformed.into());
    }
    let len = claimed(packet, u32::from(ip.payload_len()), l3 + Ipv6::LEN)?;
    seen.set_addrs(Addr(ip.src), Addr(ip.dst), true);
    let mut chain = Chain::new(ip.next_header, l3 + Ipv6::LEN);
    chain.walk(packet)?;
    if chain.fragment.is_fragment() {
        seen.set_fragment(chain.fragment.fragment_id(), !chain.is_later_fragment());
    }
    let walked = (chain.end - l3 - Ipv6::LEN) as u32;
    if walked > len {
        return Err(Reason::Malformed.into());
    }
    seen.key.proto = chain.proto;
    seen.set_offsets(l3, chain.end);
    seen.l4_len = len - walked;
    let later = chain.is_later_fragment();
    if later && overlaps_header(chain.proto, chain.fragment.fragment_offset()) {
        return Err(Reason::Malformed.into());
    }
    Ok(later)
}

/// A chain of IPv6 extension headers.
pub(crate) struct Chain {
    /// What follows it.
    pub(crate) proto: IpProto,
    /// Offset in the frame of what follows, in bytes.
    pub(crate) end: usize,
    /// Its fragment header, if the datagram has several fragments; else zeros, which are none.
    pub(crate) fragment: Extension,
}

impl Chain {
    /// A chain that begins at `at` with a header of kind `proto`, and that nobody has walked yet.
    #[inline(always)]
    pub(crate) fn new(proto: IpProto, at: usize) -> Self {
        Self { proto, end: at, fragment: bytemuck::Zeroable::zeroed() }
    }

    /// Walks to its end. A fragment behind the first has nothing behind its fragment header. A
    /// packet with segments to go is for somebody else: its checksum counts the last address of
    /// its route, not the one in its IP header (RFC 8200 section 8.1).
    #[inline(always)]
    pub(crate) fn walk<P: Packet>(&mut self, packet: &P) -> Result<(), Stop> {
        /// Farther than `Seen` counts.
        const TOO_FAR: usize = 400;
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(self.proto) || self.is_later_fragment() {
                return Ok(());
            }
            let header = packet.header::<Extension>(self.end).ok_or(Reason::Malformed)?;
            if self.proto == IpProto::FRAGMENT && header.is_fragment() {
                self.fragment = *header;
            }
            if self.proto == IpProto::ROUTING && header.segments_left() != 0 {
                return Err(Stop::NotOurs);
            }
            self.end += header.header_len(self.proto);
            self.proto = header.next_header;
            if self.end > TOO_FAR {
                return Err(Reason::Headers.into());
            }
        }
        if is_extension(self.proto) { Err(Reason::Headers.into()) } else { Ok(()) }
    }

    /// Whether the packet is a fragment behind the first.
    #[inline(always)]
    pub(crate) fn is_later_fragment(&self) -> bool {
        self.fragment.is_later_fragment()
    }
}

/// Whether this is an IPv6 extension header that is walked.
#[inline(always)]
pub(crate) fn is_extension(proto: IpProto) -> bool {
    matches!(
        proto,
        IpProto::HOP_BY_HOP
            | IpProto::ROUTING
            | IpProto::FRAGMENT
            | IpProto::AUTHENTICATION
            | IpProto::DESTINATION_OPTIONS
    )
}

/// An SCTP packet; what its first chunk means is told in TCP's terms.
#[inline(always)]
fn sctp<P: Packet>(packet: &P, seen: &mut Seen) -> Result<(), Reason> {
    let sctp = packet.header::<Sctp>(seen.l4()).ok_or(Reason::Malformed)?;
    if seen.l4_len < Sctp::LEN as u32 {
        return Err(Reason::Malformed);
    }
    (seen.key.sport, seen.key.dport) = (sctp.src, sctp.dst);
    seen.tcp_flags = match sctp.chunk {
        Sctp::INIT => Tcp::SYN,
        Sctp::ABORT | Sctp::SHUTDOWN_COMPLETE => Tcp::RST,
        _ => 0,
    };
    Ok(())
}

#[inline(always)]
fn icmp(seen: &Seen) -> Result<Kind, Stop> {
    if seen.l4_len < Icmp::LEN as u32 {
        return Err(Reason::Malformed.into());
    }
    // What a fragment quotes, or asks to be echoed, is not whole.
    if seen.is_first_fragment() { Err(Stop::NotOurs) } else { Ok(Kind::Icmp) }
}
