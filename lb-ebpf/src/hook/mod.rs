//! Attach points: context in, stages joined, action out.

/// Frames that come in by a link, before the host's stack has seen them.
mod xdp;
/// The same with a socket buffer.
mod tc_ingress;
/// Frames that leave by a link.
mod tc_egress;
/// System calls of processes of the node.
mod cgroup;

use crate::maps::{self, Entry};
use crate::nat::Ends;
use crate::packet::Packet;
use crate::parse::{L3, Seen, Stop};
use crate::{conntrack, lookup, nat, refuse, select};
use lb_common::algo::hash;
use lb_common::layout::frontend::Choice;
use lb_common::verdict::Reason;

/// The flow of a packet that came in: the one it has, or a new one.
#[inline(always)]
fn flow<P: Packet>(packet: &P, seen: &Seen) -> Result<Entry, Stop> {
    if let Some(entry) = conntrack::existing(seen, packet.link()) {
        return Ok(entry);
    }
    let mut ends = Ends::default();
    find_ends(seen, packet.link(), &mut ends)?;
    nat::open(packet, seen, &ends)?;
    maps::flow(&seen.key).ok_or(Stop::Because(Reason::FlowTable))
}

/// Finds who asks and who answers.
#[inline(never)]
fn find_ends(seen: &Seen, link: u32, ends: &mut Ends) -> Result<(), Stop> {
    let frontend = lookup::frontend(&seen.key, seen.v6)?;
    let client = lookup::client(link, &seen.key.src);
    let choice = lookup::choice(frontend, client.inside);
    let hash = hash::flow(&seen.key, maps::hash_seed());
    if let Some(reason) = select::nobody(choice) {
        return Err(reason.into());
    }
    *ends = Ends {
        backend: select::backend(frontend, choice, &seen.key.src, hash),
        client_on_this_node: client.on_this_node,
        always_snat: choice.flags & Choice::SNAT != 0,
    };
    if ends.backend == select::NONE { Err(Reason::StaleSlot.into()) } else { Ok(()) }
}

/// Counts a translated packet.
#[inline(always)]
fn count(seen: &Seen, entry: &Entry) {
    let value = entry.value();
    let bytes = (seen.l4 - L3) as u32 + seen.l4_len;
    maps::count(value.service, value.backend, bytes);
}

/// Answers a packet that found no endpoint, where an answer is due; true if it was turned into
/// one.
#[inline(always)]
fn answered<P: Packet>(packet: &mut P, seen: &Seen, stop: &Stop) -> bool {
    let Stop::Because(Reason::NoEndpoint) = stop else { return false };
    let answered = refuse::refuse(packet, seen).is_ok();
    if answered {
        maps::count_reason(Reason::NoEndpoint);
    }
    answered
}
