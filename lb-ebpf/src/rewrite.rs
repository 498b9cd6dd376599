//! Translation to changed bytes: addresses, ports, checksums, hop limit.
//!
//! Before: `conntrack`. After: `forward`. The differences of the checksums are part of the
//! translation, so no byte but the changed ones is read.

use crate::packet::{ChecksumChange, Packet};
use crate::parse::{L3, Seen};
use lb_common::algo::checksum;
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;
use lb_common::wire::tcp::Tcp;
use lb_common::wire::udp::Udp;
use lb_common::wire::{IpProto, Ports};

/// Makes a packet what its flow says. `hop`: it leaves by our hand, not through the host's stack,
/// so we count the hop.
#[inline(always)]
pub(crate) fn rewrite<P: Packet>(
    packet: &mut P,
    seen: &Seen,
    value: &FlowValue,
    hop: bool,
) -> Result<(), Reason> {
    if seen.v6 {
        ipv6(packet, value, hop)?;
    } else {
        ipv4(packet, value, hop)?;
    }
    let ports = packet.header_mut::<Ports>(seen.l4).ok_or(Reason::Rewrite)?;
    *ports = Ports { src: value.sport, dst: value.dport };
    let udp = seen.key.proto == IpProto::UDP;
    let field = if udp { Udp::CHECK_OFFSET } else { Tcp::CHECK_OFFSET };
    // Last: TC's helper moves packet memory.
    packet.change_checksum(&ChecksumChange {
        at: seen.l4 + field,
        addr_diff: value.addr_diff,
        port_diff: value.port_diff,
        udp,
        v6: seen.v6,
    })
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &mut P, value: &FlowValue, hop: bool) -> Result<(), Reason> {
    let ip = packet.header_mut::<Ipv4>(L3).ok_or(Reason::Rewrite)?;
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
fn ipv6<P: Packet>(packet: &mut P, value: &FlowValue, hop: bool) -> Result<(), Reason> {
    let ip = packet.header_mut::<Ipv6>(L3).ok_or(Reason::Rewrite)?;
    if hop {
        ip.hop_limit = one_less(ip.hop_limit)?;
    }
    ip.src = value.src.0;
    ip.dst = value.dst.0;
    Ok(())
}

#[inline(always)]
fn one_less(hops: u8) -> Result<u8, Reason> {
    if hops > 1 { Ok(hops - 1) } else { Err(Reason::HopLimit) }
}
