//! Translation to changed bytes: addresses, ports, checksums, hop limit.
//!
//! Before: `conntrack`. After: `forward`. The differences of the checksums are part of the
//! translation, so no byte but the changed ones is read.

use crate::packet::{ChecksumChange, Packet};
use crate::parse::Seen;
use lb_common::algo::{checksum, crc32c};
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::sctp::Sctp;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::udp::Udp;
use lb_common::wire::{IpProto, Ports};

/// Makes a TCP or UDP packet what its flow says. `hop`: it leaves by our hand, not through the
/// host's stack, so we count the hop.
#[inline(always)]
pub(crate) fn rewrite<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    addresses(packet, seen, value, hop)?;
    *packet.header_mut::<Ports>(seen.l4()).ok_or(Reason::Rewrite)? = ports(value);
    let udp = seen.key.proto == IpProto::UDP;
    let field = if udp { Udp::CHECK_OFFSET } else { Tcp::CHECK_OFFSET };
    // Last: TC's helper moves packet memory.
    packet.change_checksum(&ChecksumChange {
        at: seen.l4() + field,
        addr_diff: value.addr_diff,
        port_diff: value.port_diff,
        udp,
        v6: seen.v6(),
    })
}

/// The same for a packet that may be SCTP's.
#[inline(always)]
pub(crate) fn any<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    if seen.key.proto != IpProto::SCTP {
        return rewrite(packet, seen, value, hop);
    }
    addresses(packet, seen, value, hop)?;
    sctp(packet, seen, ports(value))
}

/// The checksum of an SCTP packet covers its ports and no address. A zero stays zero: it is none
/// (RFC 9653), or a sender on this machine has left it to the device that sends the packet out,
/// which wants to find zero there. How a change of ports changes it depends on the bytes that
/// follow, and of a fragmented packet nobody knows them all.
#[inline(always)]
fn sctp<P: Packet>(packet: &mut P, seen: &Seen, after: Ports) -> Result<(), Reason> {
    let sctp = packet.header_mut::<Sctp>(seen.l4()).ok_or(Reason::Rewrite)?;
    let before = Ports { src: sctp.src, dst: sctp.dst };
    (sctp.src, sctp.dst) = (after.src, after.dst);
    let change = xor(bytemuck::cast(before), bytemuck::cast(after));
    if sctp.check != [0; 4] && change != [0; 4] {
        if seen.is_first_fragment() {
            return Err(Reason::FragmentLost);
        }
        let new = u32::from_le_bytes(sctp.check) ^ crc32c::diff(change, seen.l4_len);
        sctp.check = new.to_le_bytes();
    }
    Ok(())
}

#[inline(always)]
fn ports(value: &FlowValue) -> Ports {
    Ports { src: value.sport, dst: value.dport }
}

#[inline(always)]
fn xor(a: [u8; 4], b: [u8; 4]) -> [u8; 4] {
    (u32::from_ne_bytes(a) ^ u32::from_ne_bytes(b)).to_ne_bytes()
}

/// Makes the IP header what its flow says; all that there is to do for a fragment without a
/// transport header.
#[inline(always)]
pub(crate) fn addresses<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    if seen.v6() { ipv6(packet, seen, value, hop) } else { ipv4(packet, seen, value, hop) }
}

#[inline(always)]
fn ipv4<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    let ip = packet.header_mut::<Ipv4>(seen.l3()).ok_or(Reason::Rewrite)?;
    let mut diff = value.addr_diff;
    if hop {
        let old = [ip.ttl, ip.proto.0];
        ip.ttl = one_less(ip.ttl)?;
        diff = checksum::add(diff, checksum::diff(old, [ip.ttl, ip.proto.0]));
    }
    ip.src = value.src.low4();
    ip.dst = value.dst.low4();
    ip.check = checksum::update(ip.check, diff);
    Ok(())
}

#[inline(always)]
fn ipv6<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    let ip = packet.header_mut::<Ipv6>(seen.l3()).ok_or(Reason::Rewrite)?;
    ip.src = value.src.0;
    ip.dst = value.dst.0;
    if hop {
        let old = [ip.next_header.0, ip.hop_limit];
        ip.hop_limit = one_less(ip.hop_limit)?;
        let diff = checksum::diff(old, [ip.next_header.0, ip.hop_limit]);
        packet.add_to_sum(diff);
    }
    Ok(())
}

#[inline(always)]
fn one_less(hops: u8) -> Result<u8, Reason> {
    if hops > 1 { Ok(hops - 1) } else { Err(Reason::HopLimit) }
}
