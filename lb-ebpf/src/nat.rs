//! Flow and backend to translation: destination always, source only where the way back needs it.
//!
//! Before: `select`. After: `conntrack` has stored both halves, and `rewrite` applies one.
//!
//! The source is replaced when the backend is the client itself (it would answer itself), when
//! the client is not behind a link of this node and the backend is not either (the answer would
//! not come by here), and where the operator asks for it. A port is replaced when the backend's
//! answers could not be told from those of another flow.

use crate::kernel::{self, Leaving};
use crate::maps;
use crate::packet::Packet;
use crate::parse::Seen;
use crate::{conntrack, lookup};
use lb_common::algo::checksum;
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::Choice;
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::eth::Eth;

/// A flow in the making.
///
/// It lies in a map, not on the stack: there is room, and what is read back from a map is any
/// number to the verifier, so it walks through each stage once and not once for every way there.
#[repr(C)]
pub(crate) struct Draft {
    /// The forward half.
    pub(crate) forward: FlowValue,
    /// The reply half.
    pub(crate) reply: FlowValue,
    /// What the reply half is found by.
    pub(crate) reply_key: FlowKey,
    /// The link of the reply half; 0: the host's stack.
    pub(crate) reply_link: u32,
    /// The chosen backend.
    pub(crate) backend: u32,
    /// Bits of [`Choice`].
    pub(crate) choice: u32,
    /// The client is behind a link of this node, if not 0.
    pub(crate) client_on_this_node: u32,
}

/// Opens a flow between the client and the backend of a draft: makes both translations and stores
/// them.
///
/// Not inlined, as other stages of a new flow: the frames of a program share 512 bytes of stack,
/// and what is not in use at the same time should not be there at the same time. Such a stage
/// returns numbers only: the verifier loses track of a pointer that travels in a `Result`.
#[inline(never)]
pub(crate) fn open<P: Packet>(packet: &P, seen: &Seen, draft: &mut Draft) -> Result<(), Reason> {
    let backend = maps::backend(draft.backend).ok_or(Reason::StaleSlot)?;
    draft.forward = kept(seen, draft.backend, backend);
    draft.reply_link = 0;
    set_source(packet, seen, draft, backend)?;
    if draft.choice & Choice::AGENT != 0 && backend.flags & BackendValue::AGENT == 0 {
        draft.forward.flags |= FlowValue::STAND_IN;
    }
    draft.forward.addr_diff = checksum::add(
        checksum::addr_diff(&seen.key.src, &draft.forward.src),
        checksum::addr_diff(&seen.key.dst, &draft.forward.dst),
    );
    maps::step(Step::Source, Step::word(u32::from(draft.forward.flags), draft.forward.link));
    conntrack::store(packet.context(), seen, draft)
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

/// Replaces the source of a flow if the way back needs it.
#[inline(always)]
fn set_source<P: Packet>(
    packet: &P,
    seen: &Seen,
    draft: &mut Draft,
    backend: &BackendValue,
) -> Result<(), Reason> {
    if seen.key.edge == Edge::EGRESS {
        return leave(packet, seen, draft);
    }
    if backend.addr == seen.key.src {
        draft.reply_link = packet.link();
        draft.forward.link = packet.link();
        draft.forward.flags = FlowValue::SNAT | FlowValue::HAIRPIN;
        let done = masquerade(&mut draft.forward, seen.v6());
        return if done { Ok(()) } else { Err(Reason::NoRoute) };
    }
    let local = backend.flags & BackendValue::LOCAL != 0;
    let kept = local || draft.client_on_this_node != 0 || draft.choice & Choice::KEEP != 0;
    if kept && draft.choice & Choice::SNAT == 0 {
        return Ok(());
    }
    // A local backend without a route to be forwarded by is in the node's own network stack. Its
    // answers leave by the client's link anyway, so the client's address may stay.
    if replace_source(packet, seen, draft) || (local && draft.forward.flags == 0) {
        Ok(())
    } else {
        Err(Reason::NoRoute)
    }
}

/// Finds the way of a packet that a process of the node sends: the host chose a link for the
/// frontend, not for the backend. The source is the node's in any case.
#[inline(never)]
fn leave<P: Packet>(packet: &P, seen: &Seen, draft: &mut Draft) -> Result<(), Reason> {
    let (v6, in_link) = (seen.v6(), packet.link());
    let to_backend =
        Leaving { src: &seen.key.src, dst: &draft.forward.dst, v6, in_link, len: Leaving::SHORT };
    let route = kernel::route(packet.context(), &to_backend).ok_or(Reason::NoRoute)?;
    draft.forward.link = route.link;
    draft.forward.flags = FlowValue::OWN;
    Ok(())
}

/// Replaces the source by the address of the link that leads to the backend. False: there is no
/// way, or no address.
#[inline(never)]
fn replace_source<P: Packet>(packet: &P, seen: &Seen, draft: &mut Draft) -> bool {
    let (v6, in_link) = (seen.v6(), packet.link());
    let to_backend =
        Leaving { src: &seen.key.src, dst: &draft.forward.dst, v6, in_link, len: Leaving::SHORT };
    let Some(route) = kernel::route(packet.context(), &to_backend) else { return false };
    draft.forward.link = route.link;
    draft.forward.flags = FlowValue::SNAT;
    if !masquerade(&mut draft.forward, v6) {
        return false;
    }
    // An outside client is answered by the link it came from (hosts with several uplinks), if that
    // leads to it at all. A pod's link may be the port of a bridge, where no neighbour can be
    // resolved, and a frame with a VLAN tag came by the link of that VLAN, whatever link we met it
    // at.
    let tagged = seen.l3() != Eth::LEN || packet.is_tagged();
    let to_client =
        Leaving { src: &draft.forward.dst, dst: &seen.key.src, v6, in_link, len: Leaving::SHORT };
    let back = draft.client_on_this_node == 0 && !tagged;
    draft.reply_link = if back && kernel::leads(packet.context(), &to_client) {
        in_link
    } else {
        kernel::route(packet.context(), &to_client).map_or(0, |route| route.link)
    };
    draft.reply_link != 0
}

/// Puts the address that stands for clients on the leaving link in place of the source. False:
/// there is none.
#[inline(always)]
fn masquerade(forward: &mut FlowValue, v6: bool) -> bool {
    let own = lookup::own_addr(forward.link, v6);
    if let Some(addr) = own {
        forward.src = addr;
    }
    own.is_some()
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
/// has to be caught as it comes in, and so is what answers a process of the node.
#[inline(always)]
pub(crate) fn other_edge(flags: u8) -> Edge {
    let forward_is_wanted = flags & FlowValue::REPLY != 0;
    let own = flags & FlowValue::OWN != 0;
    let at_ingress =
        if own { !forward_is_wanted } else { forward_is_wanted || flags & FlowValue::SNAT != 0 };
    if at_ingress { Edge::INGRESS } else { Edge::EGRESS }
}
