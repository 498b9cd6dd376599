//! TC ingress on pod links and uplinks: forward halves of flows, and reply halves of those whose
//! source was replaced.

use super::{answered, count, flow};
use crate::finish;
use crate::forward::{self, Verdict};
use crate::packet::{Packet, TcFrame};
use crate::parse::{Seen, Stop, parse};
use crate::rewrite::rewrite;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::flow::Edge;

/// Packets that came in by a link.
#[classifier]
pub(crate) fn lb_tc_ingress(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let link = packet.link();
    let outcome = ingress(&mut packet);
    finish::tc(link, outcome)
}

#[inline(always)]
fn ingress(packet: &mut TcFrame) -> Result<Verdict, Stop> {
    let mut seen = Seen::at(Edge::INGRESS);
    parse(packet, &mut seen)?;
    let entry = match flow(packet, &seen) {
        Ok(entry) => entry,
        Err(stop) if answered(packet, &seen, &stop) => return Ok(Verdict::Bounce),
        Err(stop) => return Err(stop),
    };
    let value = entry.value();
    let verdict = forward::by_tc(packet, value)?;
    rewrite(packet, &seen, value, forward::leaves_here(value))?;
    count(&seen, &entry);
    Ok(verdict)
}
