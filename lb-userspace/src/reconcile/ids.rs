//! Numbers that are given out: service ids, backend ids, slots.
//!
//! A number is given once and kept as long as the thing lives. Who has which stands in
//! [`Entry`](super::entry::Entry); here is only what is left. Each kind ends at its table's
//! capacity, which is how a full table is noticed before anything is written.

use super::entry::Entry;
use super::ranges::Ranges;
use lb_common::layout::capacity;
use std::collections::{BTreeSet, VecDeque};

/// How many entries each table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Service ports.
    pub services: u32,
    /// Backends.
    pub backends: u32,
    /// Slots.
    pub slots: u32,
    /// Frontends.
    pub frontends: u32,
    /// Ranges of clients.
    pub source_ranges: u32,
    /// Endpoints of Services with an affinity over all ports.
    pub siblings: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: capacity::SERVICES,
            backends: capacity::BACKENDS,
            slots: capacity::SLOTS,
            frontends: capacity::FRONTENDS,
            source_ranges: capacity::SOURCE_RANGES,
            siblings: capacity::SIBLINGS,
        }
    }
}

/// A table has no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// What is in the table.
    pub(super) what: &'static str,
    /// How many it holds.
    pub(super) limit: u32,
}

/// What is left of each kind.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) services: Numbers,
    pub(super) backends: Numbers,
    pub(super) slots: Ranges,
}

impl Ids {
    /// All that `limits` allow.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            services: Numbers::new("service ports", limits.services),
            backends: Numbers::new("backends", limits.backends),
            slots: Ranges::new(limits.slots),
        }
    }

    /// Takes back what `from` has and `kept` has not.
    pub(super) fn release(&mut self, from: &Entry, kept: &Entry) {
        if from.id != kept.id {
            self.services.give_back(from.id);
        }
        for (key, id) in &from.backends {
            if kept.backends.get(key) != Some(id) {
                self.backends.give_back(*id);
            }
        }
        for (base, len) in &from.ranges {
            if !kept.ranges.contains_key(base) {
                self.slots.give_back(*base, *len);
            }
        }
    }
}

/// Numbers from 1 on, the longest unused first: whatever still names an old one has most likely
/// been forgotten by the time it is given again.
#[derive(Debug)]
pub(super) struct Numbers {
    what: &'static str,
    limit: u32,
    /// The largest that was ever given.
    last: u32,
    free: VecDeque<u32>,
}

impl Numbers {
    fn new(what: &'static str, limit: u32) -> Self {
        Self { what, limit, last: 0, free: VecDeque::new() }
    }

    /// Marks `used` as given.
    pub(super) fn adopt(&mut self, used: &BTreeSet<u32>) {
        self.last = used.last().copied().unwrap_or(0);
        self.free = (1..self.last).filter(|number| !used.contains(number)).collect();
    }

    /// A number below the limit that nobody has. (A table of n cells has the numbers 0 to n - 1,
    /// and 0 means "none".)
    pub(super) fn take(&mut self) -> Result<u32, Full> {
        if self.last + 1 < self.limit {
            self.last += 1;
            return Ok(self.last);
        }
        self.free.pop_front().ok_or(Full { what: self.what, limit: self.limit.saturating_sub(1) })
    }

    fn give_back(&mut self, number: u32) {
        debug_assert!(!self.free.contains(&number), "{number} was given back twice");
        if number != 0 {
            self.free.push_back(number);
        }
    }
}
