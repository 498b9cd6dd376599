//! Flow key to the translation that it already has; opens new flows in both directions.
//!
//! Before: `parse`. After: `lookup` for a new flow, `rewrite` for a known one. An existing flow
//! costs one look-up: its entry holds the whole translation.

use crate::maps::{self, Entry};
use crate::nat::Draft;
use crate::packet::Packet;
use crate::parse::Seen;
use crate::stage::Stop;
use crate::{agent, kernel, lookup, nat, select};
use core::ffi::c_void;
use lb_common::algo::tcp_state::Progress;
use lb_common::algo::{checksum, source_port};
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;

/// The entry of a packet that belongs to a living flow.
///
/// A flow that another proxy translates is followed too, so that its end is known; its packets are
/// not ours.
#[inline(always)]
pub(crate) fn existing<P: Packet>(packet: &P, seen: &Seen) -> Result<Option<Entry>, Stop> {
    let Some(entry) = maps::flow(&seen.key) else { return Ok(None) };
    let value = entry.value();
    if value.flags & FlowValue::REPLY == 0 && starts_anew(packet.context(), seen, &entry) {
        return Ok(None);
    }
    note(seen, &entry, packet.link());
    if value.is_foreign() {
        maps::step(Step::Flow, Step::FOREIGN);
        return Err(Stop::NotOurs);
    }
    maps::step(Step::Flow, 1);
    Ok(Some(entry))
}

/// Whether a forward packet opens another flow under the key of an old one.
///
/// A UDP flow is over when its backend is gone, or when the one is back for which it stands in. A
/// TCP connection, and an SCTP association, lives
/// until it ends, whatever became of its backend, as with kube-proxy; but a SYN after its end, or
/// to a backend that is gone, is a new connection from the same port. Nothing is known of the
/// backend of a foreign flow: it is over when it has ended, or nobody has spoken for a while.
#[inline(always)]
fn starts_anew(ctx: *mut c_void, seen: &Seen, entry: &Entry) -> bool {
    let value = entry.value();
    if value.is_foreign() {
        is_over(&seen.key, entry) && (seen.key.proto == IpProto::UDP || seen.is_syn())
    } else if seen.key.proto == IpProto::UDP {
        is_stale(ctx, value) || is_relieved(ctx, seen, value)
    } else {
        seen.is_syn() && (entry.progress().is_closed() || is_stale(ctx, value))
    }
}

/// Whether the backend of a flow is gone.
#[inline(always)]
fn is_stale(ctx: *mut c_void, value: &FlowValue) -> bool {
    maps::backend(value.backend).is_none_or(|backend| {
        backend.generation != value.generation || !agent::takes_packets(ctx, backend)
    })
}

/// Whether the agent is there, in whose absence the backend of a flow was chosen.
#[inline(always)]
fn is_relieved(ctx: *mut c_void, seen: &Seen, value: &FlowValue) -> bool {
    value.flags & FlowValue::STAND_IN != 0 && is_agents(ctx, seen)
}

/// Whether the agent would get a new flow of this key, from a client that it may answer.
#[inline(never)]
fn is_agents(ctx: *mut c_void, seen: &Seen) -> bool {
    lookup::at(&seen.key.dst, seen.key.dport, seen.key.proto, seen.v6())
        .is_some_and(|frontend| select::prefers_agent(ctx, frontend, &frontend.inside))
}

/// How often a flow makes sure that its other half is there, in seconds.
const REFRESH_S: u32 = 8;

/// Notes time and progress. Entries are written only when something changed: a cache line that
/// every packet writes would wander between CPUs.
#[inline(always)]
fn note(seen: &Seen, entry: &Entry, link: u32) {
    let now = kernel::jiffies();
    let value = entry.value();
    let before = value.seen;
    let due = now.wrapping_sub(before) >= maps::hz();
    if due {
        entry.set_seen(now);
    }
    let reply = value.flags & FlowValue::REPLY != 0;
    let progress = entry.progress();
    let after = progress.after_tcp(seen.tcp_flags, reply);
    // The other half is looked up when the connection changes its state, and now and then: a half
    // that was evicted is found missing and put back.
    // Not 0, lest the division contains a panic.
    let period = (REFRESH_S * maps::hz()).max(1);
    if progress != after || seen.is_syn() || (due && now / period != before / period) {
        entry.set_progress(after);
        note_other_half(seen, value, link, after);
    }
}

#[inline(never)]
fn note_other_half(seen: &Seen, value: &FlowValue, link: u32, progress: Progress) {
    let key = nat::translated(seen, value).reply(nat::other_edge(value.flags));
    match maps::flow(&key) {
        Some(other) => {
            other.set_progress(progress);
            other.set_seen(kernel::jiffies());
        }
        None => restore(seen, value, &key, link),
    }
}

/// Writes the reply half anew from a forward packet. A lost forward half needs no help: its next
/// packet opens it again. A lost reply half does, because nothing in a backend's packet names the
/// frontend.
#[inline(always)]
fn restore(seen: &Seen, value: &FlowValue, key: &FlowKey, link: u32) {
    if value.flags & FlowValue::REPLY == 0 {
        // A full table costs this flow its way back, as it did before.
        let _ = maps::claim_flow(key, &nat::reversed(seen, value, link));
    }
}

/// Forgets a connection that has ended, in whose way a client is that connects to a backend itself,
/// from a port from which it had asked a frontend: what the backend answers now is not to be
/// translated. Datagrams are left out: those that XDP has translated look the same here.
#[inline(never)]
pub(crate) fn make_way(seen: &Seen) {
    if !seen.is_syn() {
        return;
    }
    let reply = seen.key.reply(Edge::EGRESS);
    let Some(entry) = maps::flow(&reply) else { return };
    if !entry.progress().is_closed() {
        return;
    }
    let value = entry.value();
    let forward = FlowKey {
        src: value.dst,
        dst: value.src,
        sport: value.dport,
        dport: value.sport,
        edge: Edge::INGRESS,
        ..seen.key
    };
    maps::forget_flow(&reply);
    maps::forget_flow(&forward);
}

/// Stores both halves of a new flow, of whose draft the forward half is done.
///
/// The reply half goes first: it can be inserted only once, so it decides who owns the translated
/// 5-tuple. If another flow does, the source port is replaced.
#[inline(never)]
pub(crate) fn store(ctx: *mut c_void, seen: &Seen, draft: &mut Draft) -> Result<(), Reason> {
    draft.reply_key =
        nat::translated(seen, &draft.forward).reply(nat::other_edge(draft.forward.flags));
    draft.reply = nat::reversed(seen, &draft.forward, draft.reply_link);
    if !own(ctx, seen, draft) {
        return Err(Reason::SourcePortsExhausted);
    }
    if !maps::put_flow(&seen.key, &draft.forward) {
        return Err(Reason::FlowTable);
    }
    maps::count_connection(draft.forward.service, draft.forward.backend);
    Ok(())
}

/// Makes a translated 5-tuple the flow's own: the client's port if that may stay and is free, else
/// one of some others. False: none of them is free.
#[inline(always)]
fn own(ctx: *mut c_void, seen: &Seen, draft: &mut Draft) -> bool {
    let snat = draft.forward.flags & FlowValue::SNAT != 0;
    if !snat && claim(&draft.reply_key, &draft.reply) {
        return true;
    }
    if snat && source_port::may_stay(seen.key.sport) && claim_port(ctx, seen, draft) {
        return true;
    }
    let hash = kernel::random();
    for attempt in 1..source_port::TRIES {
        let port = source_port::candidate(seen.key.sport, hash, attempt);
        let change = checksum::diff(draft.forward.sport.0, port.0);
        draft.forward.port_diff = checksum::add(draft.forward.port_diff, change);
        draft.reply.port_diff = !draft.forward.port_diff;
        (draft.forward.sport, draft.reply_key.dport) = (port, port);
        let claimed =
            if snat { claim_port(ctx, seen, draft) } else { claim(&draft.reply_key, &draft.reply) };
        if claimed {
            return true;
        }
    }
    false
}

/// Claims a port of the node. A socket of the node at this port would lose its packets to the flow.
#[inline(never)]
fn claim_port(ctx: *mut c_void, seen: &Seen, draft: &Draft) -> bool {
    !kernel::has_socket(ctx, &draft.reply_key, seen.v6()) && claim(&draft.reply_key, &draft.reply)
}

/// Inserts a reply half, in place of one of the same client and frontend, or of a flow that is
/// over. False: somebody else owns the key.
#[inline(never)]
fn claim(key: &FlowKey, reply: &FlowValue) -> bool {
    if maps::claim_flow(key, reply) {
        return true;
    }
    let free = maps::flow(key)
        .is_none_or(|entry| is_same_client(entry.value(), reply) || is_over(key, &entry));
    free && maps::put_flow(key, reply)
}

#[inline(always)]
fn is_same_client(a: &FlowValue, b: &FlowValue) -> bool {
    a.src == b.src && a.dst == b.dst && a.sport == b.sport && a.dport == b.dport
}

/// Whether a flow has ended: TCP says so, anything else is silent for a while.
#[inline(always)]
fn is_over(key: &FlowKey, entry: &Entry) -> bool {
    /// As long as Linux remembers a UDP flow (`nf_conntrack_udp_timeout_stream`), in seconds.
    const SILENCE_S: u32 = 120;
    if key.proto != IpProto::UDP && entry.progress().is_closed() {
        return true;
    }
    if key.proto == IpProto::TCP {
        return false;
    }
    let silent = kernel::jiffies().wrapping_sub(entry.value().seen);
    // Another CPU may have noted a moment that is still to come here.
    silent >= SILENCE_S * maps::hz() && silent < u32::MAX / 2
}
