//! Where the packet leaves.
//!
//! Before: `rewrite`. After: `finish`. A flow without a replaced source goes on through the
//! host's stack. One with a replaced source cannot: the host drops packets that come in with its
//! own address as their source ("martians", RFC 1812 section 5.3.7), so they are sent out here.

use crate::kernel::{self, Leaving};
use crate::packet::{Packet, TcFrame};
use crate::parse::Seen;
use crate::stage::{Stage, Stop};
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::eth::Eth;
use lb_common::wire::ipv4::Ipv4;
use lb_common::wire::ipv6::Ipv6;

/// What happens to a packet.
pub(crate) enum Verdict {
    /// It goes on through the host's stack.
    Stack,
    /// It leaves by this link; the kernel finds the next hop's hardware address.
    Neighbour(u32),
    /// It leaves by this link as it is.
    Redirect(u32),
    /// It turns back into the link that it came from.
    Bounce,
}

/// Whether a packet of this half leaves by our hand.
#[inline(always)]
pub(crate) fn leaves_here(value: &FlowValue) -> bool {
    const OWN_REPLY: u8 = FlowValue::OWN | FlowValue::REPLY;
    value.flags & FlowValue::SNAT != 0 || value.flags & OWN_REPLY == FlowValue::OWN
}

/// Whether this node is a hop on its way: it forwards the packet by our hand, and did not make it.
#[inline(always)]
pub(crate) fn takes_hop(value: &FlowValue) -> bool {
    value.flags & FlowValue::SNAT != 0
}

/// The verdict of a TC program on a packet that is not rewritten yet: whoever is told that it
/// cannot go on has to recognize it.
#[inline(always)]
pub(crate) fn by_tc(packet: &mut TcFrame, seen: &Seen, value: &FlowValue) -> Result<Verdict, Stop> {
    if !leaves_here(value) {
        return Ok(Verdict::Stack);
    }
    if takes_hop(value) && hops(packet, seen)? <= 1 {
        return Err(Reason::HopLimit.into());
    }
    if value.flags & FlowValue::HAIRPIN != 0 {
        turn_back(packet)?;
        return Ok(Verdict::Redirect(value.link));
    }
    // The kernel counts tags that are about to come off.
    if let Some(mtu) = kernel::too_big(packet.context(), value.link)
        && seen.len() > mtu
    {
        return Err(Stop::TooBig(mtu));
    }
    if packet.is_tagged() || seen.l3() != Eth::LEN {
        packet.untag()?;
        // Offsets have changed; the flow is known now.
        return Err(Stop::Next(Stage::Ingress));
    }
    Ok(Verdict::Neighbour(value.link))
}

/// How many hops a packet has left.
#[inline(always)]
fn hops<P: Packet>(packet: &P, seen: &Seen) -> Result<u8, Reason> {
    let hops = if seen.v6() {
        packet.header::<Ipv6>(seen.l3()).map(|ip| ip.hop_limit)
    } else {
        packet.header::<Ipv4>(seen.l3()).map(|ip| ip.ttl)
    };
    hops.ok_or(Reason::Rewrite)
}

/// Hardware addresses for a frame that leaves by our hand: own, next hop.
pub(crate) type Macs = ([u8; 6], [u8; 6]);

/// How XDP can finish a packet, decided before the packet is touched.
pub(crate) enum XdpPlan {
    /// The host's stack goes on with it.
    Stack,
    /// It leaves by the link that it came from, with these addresses.
    Send(Macs),
    /// It turns back.
    Bounce,
    /// XDP cannot finish it: TC does.
    LeaveToTc,
}

/// Plans the way of a packet through XDP.
#[inline(always)]
pub(crate) fn plan<P: Packet>(packet: &P, seen: &Seen, value: &FlowValue) -> XdpPlan {
    if value.flags & FlowValue::HAIRPIN != 0 {
        let same = value.link == packet.link();
        return if same { XdpPlan::Bounce } else { XdpPlan::LeaveToTc };
    }
    if !leaves_here(value) {
        return XdpPlan::Stack;
    }
    if hops(packet, seen).is_ok_and(|hops| hops <= 1) {
        return XdpPlan::LeaveToTc;
    }
    let leaving = Leaving {
        src: &value.src,
        dst: &value.dst,
        v6: seen.v6(),
        in_link: packet.link(),
        len: seen.len(),
    };
    match kernel::route(packet.context(), &leaving) {
        // Only back out of the same link: a frame redirected to a link that takes none (a bridge,
        // a tunnel) would be lost without a word.
        Some(kernel::Route { link, macs: Some(macs) })
            if link == value.link && link == packet.link() =>
        {
            XdpPlan::Send(macs)
        }
        // No route, a neighbour that is not resolved yet, another link, too big: TC can do it, or
        // tell the client.
        _ => XdpPlan::LeaveToTc,
    }
}

/// Writes the hardware addresses of a frame that leaves by our hand.
#[inline(always)]
pub(crate) fn address<P: Packet>(packet: &mut P, macs: &Macs) -> Result<(), Reason> {
    let eth = packet.header_mut::<Eth>(0).ok_or(Reason::Rewrite)?;
    (eth.src, eth.dst) = *macs;
    Ok(())
}

/// Sends a frame back to whoever sent it on this link.
#[inline(always)]
pub(crate) fn turn_back<P: Packet>(packet: &mut P) -> Result<(), Reason> {
    let eth = packet.header_mut::<Eth>(0).ok_or(Reason::Rewrite)?;
    (eth.src, eth.dst) = (eth.dst, eth.src);
    Ok(())
}
