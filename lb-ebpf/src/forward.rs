//! Where the packet leaves.
//!
//! Before: `rewrite`. After: `finish`. A flow without a replaced source goes on through the
//! host's stack. One with a replaced source cannot: the host drops packets that come in with its
//! own address as their source ("martians", RFC 1812 section 5.3.7), so they are sent out here.

use crate::kernel::{self, Leaving};
use crate::packet::Packet;
use crate::parse::Seen;
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::eth::Eth;

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

/// Whether a translated packet leaves by our hand.
#[inline(always)]
pub(crate) fn leaves_here(value: &FlowValue) -> bool {
    value.flags & FlowValue::SNAT != 0
}

/// The verdict of a TC program on a rewritten packet.
#[inline(always)]
pub(crate) fn by_tc<P: Packet>(packet: &mut P, value: &FlowValue) -> Result<Verdict, Reason> {
    if value.flags & FlowValue::HAIRPIN != 0 {
        turn_back(packet)?;
        return Ok(Verdict::Redirect(value.link));
    }
    Ok(if leaves_here(value) { Verdict::Neighbour(value.link) } else { Verdict::Stack })
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
    let leaving = Leaving { src: &value.src, dst: &value.dst, v6: seen.v6, in_link: packet.link() };
    match kernel::route(packet.context(), &leaving) {
        // Only back out of the same link: a frame redirected to a link that takes none (a bridge,
        // a tunnel) would be lost without a word.
        Some(kernel::Route { link, macs: Some(macs) })
            if link == value.link && link == packet.link() =>
        {
            XdpPlan::Send(macs)
        }
        // No route, a neighbour that is not resolved yet, another link: TC can do it.
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
