//! Flows in the table of flows, and what is known of datagrams in fragments.
#![expect(unsafe_code, reason = "map memory is shared with other CPUs and with the agent")]

use super::{ANY, CONNTRACK, FRAGMENTS, HELD, NO_EXIST};
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::FlowKey;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::fragment::{FragmentKey, FragmentValue, HeldKey, HeldValue};

/// An entry of `CONNTRACK` in place. Other CPUs write `seen` and `progress` at the same time,
/// each a whole word of its own, so readers see an old or a new value.
#[derive(Clone, Copy)]
pub(crate) struct Entry(*mut FlowValue);

impl Entry {
    /// What does not change while the flow lives.
    #[inline(always)]
    pub(crate) fn value(&self) -> &FlowValue {
        // SAFETY: the pointer came from the map and stays valid while the program runs.
        unsafe { &*self.0 }
    }

    /// Notes the time.
    #[inline(always)]
    pub(crate) fn set_seen(&self, jiffies: u32) {
        // SAFETY: as in `value`.
        let field = unsafe { &raw mut (*self.0).seen };
        // SAFETY: the field is aligned.
        unsafe { field.write_volatile(jiffies) };
    }

    /// What has been seen of the connection.
    #[inline(always)]
    pub(crate) fn progress(&self) -> Progress {
        // SAFETY: as in `value`.
        let field = unsafe { &raw const (*self.0).progress };
        // SAFETY: the field is one byte.
        unsafe { field.read_volatile() }
    }

    /// Notes what has been seen.
    #[inline(always)]
    pub(crate) fn set_progress(&self, progress: Progress) {
        // SAFETY: as in `value`.
        let field = unsafe { &raw mut (*self.0).progress };
        // SAFETY: the field is one byte.
        unsafe { field.write_volatile(progress) };
    }
}

/// The entry of a flow half.
#[inline(always)]
pub(crate) fn flow(key: &FlowKey) -> Option<Entry> {
    CONNTRACK.get_ptr_mut(key).map(Entry)
}

/// Stores a flow half, in place of what was there. False: the map refused.
#[inline(always)]
pub(crate) fn put_flow(key: &FlowKey, value: &FlowValue) -> bool {
    CONNTRACK.insert(key, value, ANY).is_ok()
}

/// Forgets a flow half, if there is one.
#[inline(always)]
pub(crate) fn forget_flow(key: &FlowKey) {
    // It may be gone already.
    let _ = CONNTRACK.remove(key);
}

/// Stores a flow half if there is none under this key.
#[inline(always)]
pub(crate) fn claim_flow(key: &FlowKey, value: &FlowValue) -> bool {
    CONNTRACK.insert(key, value, NO_EXIST).is_ok()
}

/// What became of the first fragment of a datagram, or how many wait for it.
#[inline(always)]
pub(crate) fn fragment(datagram: &FragmentKey) -> Option<&'static FragmentValue> {
    // SAFETY: whoever writes an entry replaces it whole, and old ones stay until the program ends.
    unsafe { FRAGMENTS.get(datagram) }
}

/// Notes it. False: the map refused.
#[inline(always)]
pub(crate) fn put_fragment(datagram: &FragmentKey, value: &FragmentValue) -> bool {
    FRAGMENTS.insert(datagram, value, ANY).is_ok()
}

/// A fragment that waits.
#[inline(always)]
pub(crate) fn held(key: &HeldKey) -> Option<&'static HeldValue> {
    // SAFETY: as in `fragment`.
    unsafe { HELD.get(key) }
}

/// Lets a fragment wait. False: the map refused.
#[inline(always)]
pub(crate) fn put_held(key: &HeldKey, value: &HeldValue) -> bool {
    HELD.insert(key, value, ANY).is_ok()
}

/// Forgets a fragment that waited.
#[inline(always)]
pub(crate) fn forget_held(key: &HeldKey) {
    // One that was evicted meanwhile is as good as removed.
    let _ = HELD.remove(key);
}
