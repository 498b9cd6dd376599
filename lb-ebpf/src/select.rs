//! Frontend to backend, for a new flow: the node's own agent, session affinity, else a slot.
//!
//! Before: `lookup`. After: `nat`. Which backends may be chosen at all was decided when the slots
//! were written.

use crate::{agent, kernel, maps};
use core::ffi::c_void;
use lb_common::algo::hash;
use lb_common::layout::affinity::{AffinityKey, AffinityValue, SiblingKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;

/// The id that no backend has.
const NONE: u32 = 0;

/// Chooses a backend for `client`: its id. `hash` spreads clients without affinity.
#[inline(always)]
pub(crate) fn backend(
    ctx: *mut c_void,
    frontend: &'static FrontendValue,
    choice: &'static Choice,
    client: &Addr,
    hash: u32,
) -> Result<u32, Reason> {
    maps::step(Step::Choice, Step::word(choice.len, choice.flags));
    let mut id = own_agent(ctx, frontend, choice);
    if id == NONE {
        if let Some(reason) = nobody(choice) {
            return Err(reason);
        }
        id = among(frontend, choice, client, hash);
    }
    maps::step(Step::Backend, u64::from(id));
    if id == NONE { Err(Reason::StaleSlot) } else { Ok(id) }
}

/// The agent of this node, if it may be chosen and is there.
#[inline(always)]
fn own_agent(ctx: *mut c_void, frontend: &FrontendValue, choice: &Choice) -> u32 {
    if !choice.has_agent() {
        return NONE;
    }
    let Some(id) = maps::slot(choice.base.wrapping_add(choice.len)) else { return NONE };
    match maps::backend(id) {
        Some(own) if own.service == frontend.service && agent::takes_packets(ctx, own) => id,
        _ => NONE,
    }
}

/// Whether the agent of this node would be chosen.
#[inline(always)]
pub(crate) fn prefers_agent(ctx: *mut c_void, frontend: &FrontendValue, choice: &Choice) -> bool {
    own_agent(ctx, frontend, choice) != NONE
}

/// Why nobody can be chosen, if that is so.
#[inline(always)]
fn nobody(choice: &Choice) -> Option<Reason> {
    if choice.len != 0 {
        return None;
    }
    let drop = choice.flags & Choice::DROP != 0;
    Some(if drop { Reason::NoLocalEndpoint } else { Reason::NoEndpoint })
}

/// Chooses from a range that is not empty: an id, or [`NONE`] if the range was given back
/// meanwhile.
#[inline(never)]
fn among(
    frontend: &'static FrontendValue,
    choice: &'static Choice,
    client: &Addr,
    hash: u32,
) -> u32 {
    if frontend.affinity == 0 {
        return by_slot(frontend, choice, hash);
    }
    let key = AffinityKey { client: *client, affinity: frontend.affinity, zero: [0; 4] };
    let known = remembered(frontend, choice, &key);
    maps::step(Step::Affinity, u64::from(known.unwrap_or(NONE)));
    let id = match known {
        Some(id) => id,
        None => by_slot(frontend, choice, hash),
    };
    if let Some(backend) = maps::backend(id) {
        let generation = backend.generation;
        let seen = kernel::jiffies();
        maps::put_affinity(&key, &AffinityValue { backend: id, generation, seen });
    }
    id
}

#[inline(always)]
fn by_slot(frontend: &FrontendValue, choice: &Choice, hash: u32) -> u32 {
    let index = choice.base.wrapping_add(hash::place(hash, choice.len));
    let Some(id) = maps::slot(index) else { return NONE };
    // A range that was given back and written anew between two of our reads is noticed here.
    match maps::backend(id) {
        Some(backend) if backend.service == frontend.service => id,
        _ => NONE,
    }
}

/// The backend that the client had last, if it came back in time and may still be chosen.
#[inline(always)]
fn remembered(frontend: &FrontendValue, choice: &Choice, key: &AffinityKey) -> Option<u32> {
    let last = maps::affinity(key)?;
    let silent = kernel::jiffies().wrapping_sub(last.seen);
    if silent > frontend.affinity_timeout_s.wrapping_mul(maps::hz()) {
        return None;
    }
    let backend = maps::backend(last.backend).filter(|b| b.generation == last.generation)?;
    if backend.service == frontend.service {
        return is_usable(choice, backend).then_some(last.backend);
    }
    // The client had another port of the Service last.
    if frontend.flags & FrontendValue::SHARED_AFFINITY == 0 {
        return None;
    }
    let key = SiblingKey { addr: backend.addr, service: frontend.service, zero: [0; 4] };
    let id = maps::sibling(&key)?;
    let sibling = maps::backend(id).filter(|b| b.service == frontend.service)?;
    is_usable(choice, sibling).then_some(id)
}

#[inline(always)]
fn is_usable(choice: &Choice, backend: &BackendValue) -> bool {
    let local = choice.flags & Choice::LOCAL != 0;
    let set = if local { BackendValue::IN_LOCAL_SET } else { BackendValue::IN_CLUSTER_SET };
    backend.flags & set != 0
}
