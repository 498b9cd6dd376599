//! XDP on uplinks. Takes what it can finish; leaves the rest to TC, untouched.

use super::{answered, count, flow};
use crate::forward::{self, Verdict, XdpPlan};
use crate::packet::XdpFrame;
use crate::parse::{Seen, Stop, parse};
use crate::rewrite::rewrite;
use crate::{finish, kernel};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::flow::Edge;

/// Packets that came in by an uplink, before a socket buffer was made.
#[xdp(frags)]
pub(crate) fn lb_xdp(ctx: XdpContext) -> u32 {
    let mut packet = XdpFrame::new(ctx.ctx);
    let outcome = ingress(&mut packet);
    finish::xdp(outcome)
}

/// The kernel's clock, for the agent: programs note times in jiffies, which nothing else tells.
#[xdp]
pub(crate) fn lb_jiffies(_: XdpContext) -> u32 {
    kernel::jiffies()
}

#[inline(always)]
fn ingress(packet: &mut XdpFrame) -> Result<Verdict, Stop> {
    let mut seen = Seen::at(Edge::INGRESS);
    parse(packet, &mut seen)?;
    let entry = match flow(packet, &seen) {
        Ok(entry) => entry,
        Err(stop) if answered(packet, &seen, &stop) => return Ok(Verdict::Bounce),
        Err(stop) => return Err(stop),
    };
    let value = entry.value();
    let plan = forward::plan(packet, &seen, value);
    if let XdpPlan::LeaveToTc = plan {
        return Err(Stop::NotOurs);
    }
    rewrite(packet, &seen, value, forward::leaves_here(value))?;
    count(&seen, &entry);
    Ok(match plan {
        XdpPlan::Stack | XdpPlan::LeaveToTc => Verdict::Stack,
        XdpPlan::Bounce => {
            forward::turn_back(packet)?;
            Verdict::Bounce
        }
        XdpPlan::Send(macs) => {
            forward::address(packet, &macs)?;
            Verdict::Bounce
        }
    })
}
