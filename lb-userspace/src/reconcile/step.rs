//! A change in the making: ports have their new entries, the kernel has the old ones.
//!
//! What comes is written before what goes is taken away, so for a moment a table holds both; here
//! is counted whether it can. Ids, backends and slots are counted where they are given (`ids`).

use super::Tables;
use super::entry::Entry;
use super::ids::{Full, Limits};
use crate::compile::PortName;
use lb_common::layout::frontend::FrontendKey;
use std::collections::BTreeSet;

/// What ports had and will have.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// What the ports had before.
    pub(super) before: Vec<(PortName, Entry)>,
    /// Their new entries.
    pub(super) wanted: Tables,
    fresh: Fresh,
}

/// Entries that the kernel does not have yet.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    /// Ports may claim the same frontend.
    frontends: BTreeSet<FrontendKey>,
    source_ranges: usize,
    siblings: usize,
}

impl Step {
    /// What a port with the entry `new` brings, if there is room for it.
    pub(super) fn room_for(
        &self,
        new: &Entry,
        actual: &Tables,
        limits: Limits,
    ) -> Result<Fresh, Full> {
        let own = Fresh::of(new, actual);
        let also = &self.fresh;
        if !own.frontends.is_empty() {
            let fresh = also.frontends.union(&own.frontends).count();
            room("frontends", limits.frontends, actual.frontends.len() + fresh)?;
        }
        if own.source_ranges != 0 {
            let fresh = also.source_ranges + own.source_ranges;
            room("source ranges", limits.source_ranges, actual.source_ranges.len() + fresh)?;
        }
        if own.siblings != 0 {
            let fresh = also.siblings + own.siblings;
            room("siblings", limits.siblings, actual.siblings.len() + fresh)?;
        }
        Ok(own)
    }

    /// A port that had `old` wants `tables`, and brings what is `fresh`.
    pub(super) fn take(&mut self, name: &PortName, old: Entry, tables: Tables, fresh: Fresh) {
        self.withdraw(name, old);
        self.wanted.services.extend(tables.services);
        self.wanted.backends.extend(tables.backends);
        self.wanted.slots.extend(tables.slots);
        self.fresh.frontends.extend(fresh.frontends);
        self.fresh.source_ranges += fresh.source_ranges;
        self.fresh.siblings += fresh.siblings;
    }

    /// A port that had `old` wants nothing any more.
    pub(super) fn withdraw(&mut self, name: &PortName, old: Entry) {
        self.before.push((name.clone(), old));
    }
}

impl Fresh {
    fn of(new: &Entry, actual: &Tables) -> Self {
        let Tables { frontends, source_ranges, siblings, .. } = actual;
        let is_new = |key: &&FrontendKey| !frontends.contains_key(key);
        Self {
            frontends: new.frontends.keys().filter(is_new).copied().collect(),
            source_ranges: new
                .source_ranges()
                .filter(|key| !source_ranges.contains_key(key))
                .count(),
            siblings: new.sibling_keys().filter(|key| !siblings.contains_key(key)).count(),
        }
    }
}

fn room(what: &'static str, limit: u32, entries: usize) -> Result<(), Full> {
    if entries <= limit as usize { Ok(()) } else { Err(Full { what, limit }) }
}
