//! What TC does with packets that are not simply of a known flow: programs that are reached by
//! tail calls only.

use super::{count, open, unknown};
use crate::forward::{self, Verdict};
use crate::maps::Entry;
use crate::packet::{Packet, TcFrame};
use crate::parse::Seen;
use crate::stage::{Stage, Stop};
use crate::unusual::{self, Kind};
use crate::{answer, conntrack, finish, fragment, icmp, maps, rewrite};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::flow::Edge;
use lb_common::layout::address::AddressValue;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;
use lb_common::wire::icmp::Icmp;

/// Opens a flow, and sends its packet on.
#[classifier]
pub(crate) fn lb_tc_open(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let outcome = opened(&mut packet);
    finish::tc_stage(&packet, outcome)
}

#[inline(always)]
fn opened(packet: &mut TcFrame) -> Result<Verdict, Stop> {
    let seen = maps::handed_over().ok_or(Reason::Stage)?;
    match open(packet, seen) {
        Err(Stop::NotOurs) if seen.is_first_fragment() => return Err(Stop::Foreign),
        // The other fragments have to be told.
        Ok(()) if seen.is_first_fragment() => return Err(Stop::Next(Stage::Known)),
        opened => opened?,
    }
    let entry = maps::flow(&seen.key).ok_or(Reason::FlowTable)?;
    translate(packet, seen, &entry)
}

/// Reads what the quick parser leaves.
#[classifier]
pub(crate) fn lb_tc_unusual(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let edge = maps::handed_over().map_or(Edge::INGRESS, |seen| seen.key.edge);
    let mut seen = Seen::at(edge);
    let stop = match unusual::parse(&mut packet, &mut seen) {
        Ok(Kind::Transport) => Stop::Next(Stage::Known),
        Ok(Kind::LaterFragment) => Stop::Next(Stage::Fragment),
        Ok(Kind::Icmp) => Stop::Next(Stage::Icmp),
        Err(stop) => stop,
    };
    finish::tc(&packet, &seen, Err(stop))
}

/// Finds the flow of a packet that was read before.
#[classifier]
pub(crate) fn lb_tc_known(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let outcome = match maps::handed_over() {
        Some(seen) => transport(&mut packet, seen),
        None => Err(Reason::Stage.into()),
    };
    finish::tc_stage(&packet, outcome)
}

#[inline(always)]
fn transport(packet: &mut TcFrame, seen: &Seen) -> Result<Verdict, Stop> {
    let entry = match conntrack::existing(packet, seen) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Err(without_flow(seen)),
        Err(_) => return Err(left_alone(seen)),
    };
    if seen.is_first_fragment() {
        fragment::note(seen, Some(entry.value()))?;
    }
    translate(packet, seen, &entry)
}

/// Why a packet without a flow is not finished.
#[inline(always)]
fn without_flow(seen: &Seen) -> Stop {
    let opens = seen.key.edge == Edge::INGRESS || is_own(seen);
    if maps::errand().foreign == 0
        && opens
        && let Stop::Next(stage) = unknown(seen)
    {
        return Stop::Next(stage);
    }
    left_alone(seen)
}

/// Leaves a packet to whom it belongs; the other fragments of its datagram have to be told.
#[inline(always)]
fn left_alone(seen: &Seen) -> Stop {
    if seen.is_first_fragment()
        && let Err(stop) = fragment::note(seen, None)
    {
        return stop;
    }
    Stop::NotOurs
}

/// Whether a packet that leaves was sent by a process of the node and not translated before: the
/// kernel has no hook for `connect` on SCTP sockets. Packets of pods have met a link of theirs.
#[inline(always)]
fn is_own(seen: &Seen) -> bool {
    seen.key.proto == IpProto::SCTP && maps::address(&seen.key.dst).has(AddressValue::FRONTEND)
}

/// Makes a packet what its flow says, whatever it is.
#[inline(always)]
fn translate(packet: &mut TcFrame, seen: &Seen, entry: &Entry) -> Result<Verdict, Stop> {
    let value = entry.value();
    let verdict = forward::by_tc(packet, seen, value)?;
    rewrite::any(packet, seen, value, forward::takes_hop(value))?;
    count(seen, value);
    Ok(verdict)
}

/// Goes on with a fragment that has no transport header.
#[classifier]
pub(crate) fn lb_tc_fragment(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let outcome = match maps::handed_over() {
        Some(seen) => later_fragment(&mut packet, seen),
        None => Err(Reason::Stage.into()),
    };
    finish::tc_stage(&packet, outcome)
}

#[inline(always)]
fn later_fragment(packet: &mut TcFrame, seen: &Seen) -> Result<Verdict, Stop> {
    let flow = fragment::flow(packet, seen)?;
    let verdict = forward::by_tc(packet, seen, flow)?;
    rewrite::addresses(packet, seen, flow, forward::takes_hop(flow))?;
    // Nothing in an IPv6 fragment makes up for its changed addresses.
    if seen.v6() {
        packet.add_to_sum(flow.addr_diff);
    }
    count(seen, flow);
    Ok(verdict)
}

/// Goes on with an ICMP message.
#[classifier]
pub(crate) fn lb_tc_icmp(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let outcome = match maps::handed_over() {
        Some(seen) if is_echo(&packet, seen) => Err(Reason::Echo.into()),
        Some(seen) => icmp::error(&mut packet, seen),
        None => Err(Reason::Stage.into()),
    };
    finish::tc_stage(&packet, outcome)
}

/// Whether this is an echo request that is answered (`--answer-ping`).
#[inline(always)]
fn is_echo(packet: &TcFrame, seen: &Seen) -> bool {
    let echo = packet.header::<Icmp>(seen.l4()).is_some_and(|icmp| icmp.is_echo(seen.v6()));
    echo && seen.key.edge == Edge::INGRESS
        && maps::address(&seen.key.dst).has(AddressValue::ANSWERS_PING)
}

/// Puts fragments that were held back on their way.
#[classifier]
pub(crate) fn lb_tc_release(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let outcome = match maps::handed_over() {
        Some(seen) => fragment::release(&mut packet, seen, maps::errand().held),
        None => Err(Reason::Stage.into()),
    };
    finish::tc_stage(&packet, outcome)
}

/// Turns a packet into an answer.
#[classifier]
pub(crate) fn lb_tc_answer(ctx: TcContext) -> i32 {
    let mut packet = TcFrame::new(ctx.skb.skb);
    let errand = maps::errand();
    let answered =
        maps::handed_over().is_some_and(|seen| answer::answer(&mut packet, seen, &errand).is_ok());
    finish::tc_answer(&packet, errand.reason, answered)
}
