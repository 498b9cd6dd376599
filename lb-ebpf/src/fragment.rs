//! Datagrams in fragments (RFC 791 section 3.2, RFC 8200 section 4.5): only the first has ports.
//!
//! What became of the first is noted under the datagram's identification, and the others follow
//! the note. One that comes before the first is kept, as bytes, and put back on its way when the
//! first has come: it is sent into the hook anew and finds the note there. Before: `unusual`, and
//! for a first fragment `conntrack`. After: `rewrite`.

use crate::forward::Verdict;
use crate::packet::{Packet, TcFrame};
use crate::parse::Seen;
use crate::stage::{Stage, Stop};
use crate::unusual::is_extension;
use crate::{kernel, maps};
use lb_common::flow::Edge;
use lb_common::layout::address::AddressValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::fragment::{FragmentValue, HeldKey, HeldValue};
use lb_common::verdict::Reason;
use lb_common::wire::IpProto;

/// Notes what became of a first fragment: `flow` is the half that it belongs to, `None`: it is
/// none of ours. Fragments that were held for it have to be released first.
#[inline(always)]
pub(crate) fn note(seen: &Seen, flow: Option<&FlowValue>) -> Result<(), Stop> {
    let datagram = seen.datagram();
    let before = maps::fragment(&datagram);
    if before.is_none() && flow.is_none() && !may_be_ours(seen) {
        return Ok(());
    }
    let held = before.filter(|note| is_fresh(note)).map_or(0, |note| note.held);
    let zeroed: FragmentValue = bytemuck::Zeroable::zeroed();
    let mut value = FragmentValue { flow: flow.copied().unwrap_or(zeroed.flow), ..zeroed };
    value.flow.seen = kernel::jiffies();
    // Without a note the others are held, and lost.
    let noted = maps::put_fragment(&datagram, &value);
    if noted && held != 0 {
        return Err(Stop::Release(held));
    }
    Ok(())
}

/// The half of a flow that a later fragment belongs to.
#[inline(always)]
pub(crate) fn flow(packet: &TcFrame, seen: &Seen) -> Result<&'static FlowValue, Stop> {
    if let Some(note) = known(seen) {
        return follow(note);
    }
    if !may_be_ours(seen) {
        return Err(Stop::NotOurs);
    }
    hold(packet, seen)?;
    // The first one may have come meanwhile, on another CPU.
    match known(seen) {
        Some(note) => follow(note),
        None => Err(Reason::FragmentHeld.into()),
    }
}

#[inline(always)]
fn follow(note: &'static FragmentValue) -> Result<&'static FlowValue, Stop> {
    if note.flow.backend == 0 { Err(Stop::NotOurs) } else { Ok(&note.flow) }
}

/// What became of the first fragment, if that was seen.
#[inline(always)]
fn known(seen: &Seen) -> Option<&'static FragmentValue> {
    maps::fragment(&seen.datagram()).filter(|note| note.held == 0 && is_fresh(note))
}

#[inline(always)]
fn is_fresh(note: &FragmentValue) -> bool {
    let age = kernel::jiffies().wrapping_sub(note.flow.seen);
    age <= FragmentValue::LIFETIME_S * maps::hz()
}

/// Whether the datagram may belong to a flow, as far as its protocol and its addresses tell.
#[inline(always)]
fn may_be_ours(seen: &Seen) -> bool {
    let ingress = seen.key.edge == Edge::INGRESS;
    let to_us = AddressValue::FRONTEND | AddressValue::NODE_PORTS;
    may_have_ports(seen)
        && ((ingress && maps::address(&seen.key.dst).has(to_us))
            || maps::address(&seen.key.src).has(AddressValue::BACKEND))
}

/// Whether the datagram may have ports. An IPv6 fragment behind the first tells only the first of
/// the headers that were cut.
#[inline(always)]
fn may_have_ports(seen: &Seen) -> bool {
    match seen.key.proto {
        IpProto::TCP | IpProto::UDP | IpProto::SCTP => true,
        proto => seen.v6() && is_extension(proto),
    }
}

/// Keeps a fragment until the first one of its datagram comes.
#[inline(always)]
fn hold(packet: &TcFrame, seen: &Seen) -> Result<(), Reason> {
    let len = packet.len();
    if len > HeldValue::MAX_LEN as u32 {
        return Err(Reason::FragmentLost);
    }
    let cell = maps::held_cell().ok_or(Reason::FragmentLost)?;
    (cell.len, cell.seen) = (len, kernel::jiffies());
    if !packet.load(&mut cell.frame, len) {
        return Err(Reason::FragmentLost);
    }
    let number = next_number(seen)?;
    let key = HeldKey { datagram: seen.datagram(), number, zero: [0; 4] };
    if maps::put_held(&key, cell) { Ok(()) } else { Err(Reason::FragmentLost) }
}

/// Counts one more fragment that is held for a datagram; gives its number, from 0.
#[inline(always)]
fn next_number(seen: &Seen) -> Result<u32, Reason> {
    let datagram = seen.datagram();
    let waiting = maps::fragment(&datagram).filter(|note| is_fresh(note));
    let number = waiting.map_or(0, |note| note.held);
    if number >= FragmentValue::MAX_HELD {
        return Err(Reason::FragmentLost);
    }
    let zeroed: FragmentValue = bytemuck::Zeroable::zeroed();
    let mut value = FragmentValue { held: number + 1, ..zeroed };
    value.flow.seen = kernel::jiffies();
    if maps::put_fragment(&datagram, &value) { Ok(number) } else { Err(Reason::FragmentLost) }
}

/// Puts the fragments that were held for a datagram back on their way, in the frame of its first
/// fragment, which is itself again afterwards and begins anew.
#[inline(always)]
pub(crate) fn release(packet: &mut TcFrame, seen: &Seen, held: u32) -> Result<Verdict, Stop> {
    let own_len = packet.len();
    let own = maps::own_cell().ok_or(Reason::Stage)?;
    let at_ingress = seen.key.edge == Edge::INGRESS;
    let next = if at_ingress { Stage::Ingress } else { Stage::Egress };
    // Too long to be kept aside: those that wait are lost.
    if own_len > HeldValue::MAX_LEN as u32 || !packet.load(&mut own.frame, own_len) {
        return Err(Stop::Next(next));
    }
    for number in 0..FragmentValue::MAX_HELD {
        if number >= held {
            break;
        }
        send_again(packet, seen, number);
    }
    packet.resize(own_len)?;
    if !packet.store(&own.frame, own_len) {
        return Err(Reason::Rewrite.into());
    }
    Err(Stop::Next(next))
}

/// Sends one of them; those that cannot be are lost.
#[inline(never)]
fn send_again(packet: &mut TcFrame, seen: &Seen, number: u32) -> bool {
    let key = HeldKey { datagram: seen.datagram(), number, zero: [0; 4] };
    let Some(held) = maps::held(&key) else { return false };
    let len = held.len;
    let link = packet.link();
    let sent = packet.resize(len).is_ok()
        && packet.store(&held.frame, len)
        && packet.send_copy(link, seen.key.edge == Edge::INGRESS);
    maps::forget_held(&key);
    sent
}
