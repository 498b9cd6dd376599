//! XDP on uplinks. Takes what it can finish; leaves the rest to TC, untouched.

use super::{count, open, unknown};
use crate::forward::{self, Verdict, XdpPlan};
use crate::maps::Entry;
use crate::packet::XdpFrame;
use crate::parse::{Seen, parse};
use crate::rewrite::rewrite;
use crate::stage::Stop;
use crate::{answer, conntrack, finish, kernel, maps};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::flow::Edge;
use lb_common::verdict::Reason;

/// Packets that came in by an uplink, before a socket buffer was made.
#[xdp(frags)]
pub(crate) fn lb_xdp(ctx: XdpContext) -> u32 {
    let mut packet = XdpFrame::new(ctx.ctx);
    let mut seen = Seen::at(Edge::INGRESS);
    let outcome = ingress(&mut packet, &mut seen);
    finish::xdp(&packet, &seen, outcome)
}

#[inline(always)]
fn ingress(packet: &mut XdpFrame, seen: &mut Seen) -> Result<Verdict, Stop> {
    parse(packet, seen)?;
    match conntrack::existing(packet, seen)? {
        Some(entry) => translate(packet, seen, &entry),
        None => Err(unknown(seen)),
    }
}

/// Opens a flow, and sends its packet on.
#[xdp(frags)]
pub(crate) fn lb_xdp_open(ctx: XdpContext) -> u32 {
    let mut packet = XdpFrame::new(ctx.ctx);
    let outcome = opened(&mut packet);
    finish::xdp_stage(&packet, outcome)
}

#[inline(always)]
fn opened(packet: &mut XdpFrame) -> Result<Verdict, Stop> {
    let seen = maps::handed_over().ok_or(Reason::Stage)?;
    open(packet, seen)?;
    let entry = maps::flow(&seen.key).ok_or(Reason::FlowTable)?;
    translate(packet, seen, &entry)
}

/// Turns a packet into an answer.
#[xdp(frags)]
pub(crate) fn lb_xdp_answer(ctx: XdpContext) -> u32 {
    let mut packet = XdpFrame::new(ctx.ctx);
    let errand = maps::errand();
    let answered =
        maps::handed_over().is_some_and(|seen| answer::answer(&mut packet, seen, &errand).is_ok());
    finish::xdp_answer(errand.reason, answered)
}

/// The kernel's clock, for the agent: programs note times in jiffies, which nothing else tells.
#[xdp]
pub(crate) fn lb_jiffies(_: XdpContext) -> u32 {
    kernel::jiffies()
}

/// Makes a packet what its flow says, if XDP can finish it.
#[inline(always)]
fn translate(packet: &mut XdpFrame, seen: &Seen, entry: &Entry) -> Result<Verdict, Stop> {
    let value = entry.value();
    let plan = forward::plan(packet, seen, value);
    if let XdpPlan::LeaveToTc = plan {
        return Err(Stop::NotOurs);
    }
    rewrite(packet, seen, value, forward::takes_hop(value))?;
    count(seen, value);
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
