//! TC ingress on pod links and uplinks: forward halves of flows, and reply halves of those whose
//! source was replaced.

use super::{translate, unknown};
use crate::forward::Verdict;
use crate::packet::TcFrame;
use crate::parse::{Seen, parse};
use crate::stage::Stop;
use crate::{conntrack, finish};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::flow::Edge;

/// Packets that came in by a link.
#[classifier]
pub(crate) fn lb_tc_ingress(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let mut seen = Seen::at(Edge::INGRESS);
    let outcome = ingress(&mut packet, &mut seen);
    finish::tc(&packet, &seen, outcome)
}

#[inline(always)]
fn ingress(packet: &mut TcFrame, seen: &mut Seen) -> Result<Verdict, Stop> {
    parse(packet, seen)?;
    match conntrack::existing(packet, seen)? {
        Some(entry) => translate(packet, seen, &entry),
        None => Err(unknown(seen)),
    }
}
