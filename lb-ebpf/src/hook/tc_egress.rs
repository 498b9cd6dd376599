//! TC egress on pod links and uplinks: reply halves of flows whose source was kept. Opens
//! nothing.

use super::count;
use crate::forward::Verdict;
use crate::packet::{Packet, TcFrame};
use crate::parse::{Seen, Stop, parse};
use crate::rewrite::rewrite;
use crate::{conntrack, finish};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::flow::Edge;

/// Packets that leave by a link.
#[classifier]
pub(crate) fn lb_tc_egress(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let link = packet.link();
    let outcome = egress(&mut packet);
    finish::tc(link, outcome)
}

#[inline(always)]
fn egress(packet: &mut TcFrame) -> Result<Verdict, Stop> {
    let mut seen = Seen::at(Edge::EGRESS);
    parse(packet, &mut seen)?;
    let entry = conntrack::existing(&seen, packet.link()).ok_or(Stop::NotOurs)?;
    rewrite(packet, &seen, entry.value(), false)?;
    count(&seen, &entry);
    Ok(Verdict::Stack)
}
