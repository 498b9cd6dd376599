//! Attach points: context in, stages joined, action out.

/// Frames that come in by a link, before the host's stack has seen them.
mod xdp;
/// The same with a socket buffer.
mod tc_ingress;
/// Frames that leave by a link.
mod tc_egress;
/// What TC does with packets that are not of a known flow.
mod tc_stage;
/// System calls of processes of the node.
mod cgroup;

use crate::conntrack;
use crate::forward::{self, Verdict};
use crate::lookup::{self, Client};
use crate::maps::{self, Entry};
use crate::nat::{self, Draft};
use crate::packet::{Packet, TcFrame};
use crate::parse::Seen;
use crate::rewrite::rewrite;
use crate::select;
use crate::stage::{Stage, Stop};
use core::ffi::c_void;
use lb_common::algo::hash;
use lb_common::flow::Edge;
use lb_common::layout::address::AddressValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;

/// Why a packet without a flow is not finished here: it is none of ours, as far as its address
/// tells, or a flow has to be opened.
#[inline(always)]
fn unknown(seen: &Seen) -> Stop {
    let meaning = maps::address(&seen.key.dst);
    maps::step(Step::Flow, 0);
    maps::step(Step::Address, u64::from(meaning.0));
    if meaning.has(AddressValue::BACKEND) {
        conntrack::make_way(seen);
    }
    if meaning.has(!AddressValue::BACKEND) { Stop::Next(Stage::Open) } else { Stop::NotOurs }
}

/// Opens the flow of a packet that came in.
#[inline(always)]
fn open<P: Packet>(packet: &P, seen: &Seen) -> Result<(), Stop> {
    let draft = maps::draft().ok_or(Reason::Stage)?;
    find_ends(packet.context(), seen, packet.link(), draft)?;
    Ok(nat::open(packet, seen, draft)?)
}

/// Finds who asks and who answers.
#[inline(never)]
fn find_ends(ctx: *mut c_void, seen: &Seen, link: u32, draft: &mut Draft) -> Result<(), Stop> {
    let frontend = lookup::frontend(&seen.key, seen.v6())?;
    maps::step(Step::Frontend, Step::word(frontend.service, u32::from(frontend.kind)));
    if lookup::may_be_anothers(seen) {
        return Err(Stop::NotOurs);
    }
    if !lookup::admits(frontend, &seen.key.src) {
        return Err(Reason::SourceRange.into());
    }
    let client = match seen.key.edge {
        Edge::EGRESS => Client::OWN,
        _ => lookup::client(link, &seen.key.src),
    };
    let choice = lookup::choice(frontend, &client);
    maps::step(Step::Client, u64::from(client.inside) | u64::from(client.on_this_node) << 1);
    let hash = hash::flow(&seen.key, maps::hash_seed());
    draft.choice = choice.flags;
    draft.client_on_this_node = u32::from(client.on_this_node);
    draft.backend = select::backend(ctx, frontend, choice, &seen.key.src, hash)?;
    Ok(())
}

/// Makes a TCP or UDP packet what its flow says, in TC.
#[inline(always)]
fn translate(packet: &mut TcFrame, seen: &Seen, entry: &Entry) -> Result<Verdict, Stop> {
    let value = entry.value();
    let verdict = forward::by_tc(packet, seen, value)?;
    rewrite(packet, seen, value, forward::takes_hop(value))?;
    count(seen, value);
    Ok(verdict)
}

/// Counts a translated packet.
#[inline(always)]
fn count(seen: &Seen, value: &FlowValue) {
    maps::count(value.service, value.backend, seen.len());
}
