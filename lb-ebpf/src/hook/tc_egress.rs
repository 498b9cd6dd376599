//! TC egress on pod links and uplinks: reply halves of flows whose source was kept. Opens
//! nothing.

use super::translate;
use crate::forward::Verdict;
use crate::packet::TcFrame;
use crate::parse::{Seen, parse};
use crate::stage::Stop;
use crate::{conntrack, finish};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::flow::Edge;

/// Packets that leave by a link.
#[classifier]
pub(crate) fn lb_tc_egress(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let mut seen = Seen::at(Edge::EGRESS);
    let outcome = egress(&mut packet, &mut seen);
    finish::tc(&packet, &seen, outcome)
}

#[inline(always)]
fn egress(packet: &mut TcFrame, seen: &mut Seen) -> Result<Verdict, Stop> {
    parse(packet, seen)?;
    let entry = conntrack::existing(packet, seen)?.ok_or(Stop::NotOurs)?;
    translate(packet, seen, &entry)
}
