//! Flow and backend to translation: destination always, source only where the way back needs it.
//!
//! Before: `select`. After: `conntrack` has stored both halves, and `rewrite` applies one.
//!
//! The source is replaced when the backend is the client itself (it would answer itself), when
//! the client is not behind a link of this node and the backend is not either (the answer would
//! not come by here), and where the operator asks for it. A port is replaced when the backend's
//! answers could not be told from those of another flow.

use crate::conntrack;
use crate::kernel::{self, Leaving};
use crate::maps;
use crate::packet::Packet;
use crate::parse::Seen;
use lb_common::algo::checksum;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;

/// Who asks and who answers.
#[derive(Default)]
pub(crate) struct Ends {
    /// The chosen backend.
    pub(crate) backend: u32,
    /// The client is behind a link of this node.
    pub(crate) client_on_this_node: bool,
    /// The client's address is replaced in any case.
    pub(crate) always_snat: bool,
}

/// Opens a flow: makes both translations and stores them.
///
/// Not inlined, as other stages of a new flow: the frames of a program share 512 bytes of stack,
/// and what is not in use at the same time should not be there at the same time. Such a stage
/// returns numbers only: the verifier loses track of a pointer that travels in a `Result`.
#[inline(never)]
pub(crate) fn open<P: Packet>(packet: &P, seen: &Seen, ends: &Ends) -> Result<(), Reason> {
    let backend = maps::backend(ends.backend).ok_or(Reason::StaleSlot)?;
    let mut forward = kept(seen, ends.backend, backend);
    let reply_link = set_source(packet, seen, ends, &mut forward)?;
    forward.addr_diff = checksum::add(
        checksum::addr_diff(&seen.key.src, &forward.src),
        checksum::addr_diff(&seen.key.dst, &forward.dst),
    );
    conntrack::store(seen, &mut forward, reply_link)
}

/// The forward half of a flow whose client keeps its address and port.
#[inline(always)]
fn kept(seen: &Seen, id: u32, backend: &BackendValue) -> FlowValue {
    FlowValue {
        src: seen.key.src,
        dst: backend.addr,
        sport: seen.key.sport,
        dport: backend.port,
        addr_diff: 0,
        port_diff: checksum::diff(seen.key.dport.0, backend.port.0),
        backend: id,
        generation: backend.generation,
        service: backend.service,
        link: 0,
        seen: kernel::jiffies(),
        progress: Progress::default(),
        flags: 0,
        zero: [0; 2],
    }
}

/// Replaces the source of a flow if the way back needs it. Gives the link of the reply half; 0:
/// the host's stack.
#[inline(always)]
fn set_source<P: Packet>(
    packet: &P,
    seen: &Seen,
    ends: &Ends,
    forward: &mut FlowValue,
) -> Result<u32, Reason> {
    let backend = maps::backend(ends.backend).ok_or(Reason::StaleSlot)?;
    if backend.addr == seen.key.src {
        forward.link = packet.link();
        forward.flags = FlowValue::SNAT | FlowValue::HAIRPIN;
        let done = masquerade(forward, seen.v6);
        return if done { Ok(forward.link) } else { Err(Reason::NoRoute) };
    }
    let local = backend.flags & BackendValue::LOCAL != 0;
    if (local || ends.client_on_this_node) && !ends.always_snat {
        return Ok(0);
    }
    let reply_link = replace_source(packet, seen, ends.client_on_this_node, forward);
    // A local backend without a route to be forwarded by is in the node's own network stack. Its
    // answers leave by the client's link anyway, so the client's address may stay.
    if reply_link != 0 || (local && forward.flags == 0) {
        Ok(reply_link)
    } else {
        Err(Reason::NoRoute)
    }
}

/// Replaces the source by the address of the link that leads to the backend. Gives the link of
/// the reply half; 0: there is no way, or no address.
#[inline(never)]
fn replace_source<P: Packet>(
    packet: &P,
    seen: &Seen,
    client_on_this_node: bool,
    forward: &mut FlowValue,
) -> u32 {
    let (v6, in_link) = (seen.v6, packet.link());
    let to_backend = Leaving { src: &seen.key.src, dst: &forward.dst, v6, in_link };
    let Some(route) = kernel::route(packet.context(), &to_backend) else { return 0 };
    forward.link = route.link;
    forward.flags = FlowValue::SNAT;
    if !masquerade(forward, v6) {
        return 0;
    }
    // An outside client is answered by the link it came from (hosts with several uplinks). A
    // pod's link may be the port of a bridge, where no neighbour can be resolved.
    if !client_on_this_node {
        return in_link;
    }
    let to_client = Leaving { src: &forward.dst, dst: &seen.key.src, v6, in_link };
    kernel::route(packet.context(), &to_client).map_or(0, |route| route.link)
}

/// Puts the address that stands for clients on the leaving link in place of the source: the
/// link's own, else the node's. False: there is none.
#[inline(always)]
fn masquerade(forward: &mut FlowValue, v6: bool) -> bool {
    /// Holds the node's primary addresses.
    const NODE: u32 = 0;
    for index in [forward.link, NODE] {
        if let Some(link) = maps::link(index) {
            let addr = if v6 { &link.masquerade_v6 } else { &link.masquerade_v4 };
            if *addr != Addr::ANY {
                forward.src = *addr;
                return true;
            }
        }
    }
    false
}

/// The reply half of a flow whose forward packet is `seen`.
#[inline(always)]
pub(crate) fn reversed(seen: &Seen, forward: &FlowValue, in_link: u32) -> FlowValue {
    let snat = forward.flags & FlowValue::SNAT != 0;
    FlowValue {
        src: seen.key.dst,
        dst: seen.key.src,
        sport: seen.key.dport,
        dport: seen.key.sport,
        // What the forward half adds, the reply half takes away: negation is the complement.
        addr_diff: !forward.addr_diff,
        port_diff: !forward.port_diff,
        link: if snat { in_link } else { 0 },
        flags: forward.flags | FlowValue::REPLY,
        ..*forward
    }
}

/// The 5-tuple of `seen` after translation.
#[inline(always)]
pub(crate) fn translated(seen: &Seen, value: &FlowValue) -> FlowKey {
    FlowKey { src: value.src, dst: value.dst, sport: value.sport, dport: value.dport, ..seen.key }
}

/// Where the other half of a flow is translated. Without a replaced source the answer takes the
/// host's way to the client and is translated as it leaves; with one it is aimed at this node and
/// has to be caught as it comes in.
#[inline(always)]
pub(crate) fn other_edge(flags: u8) -> Edge {
    let forward_is_wanted = flags & FlowValue::REPLY != 0;
    if forward_is_wanted || flags & FlowValue::SNAT != 0 { Edge::INGRESS } else { Edge::EGRESS }
}
