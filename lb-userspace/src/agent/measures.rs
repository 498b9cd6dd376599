//! What is measured of the loop's work.

use super::objects::{Objects, service_of};
use super::triggers::Triggers;
use crate::metrics::Progress;
use crate::model::Change;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Instant;

/// The loop's own numbers.
pub(super) struct Measures {
    progress: Progress,
    triggers: Triggers,
    /// Kinds that the API server answers questions about, or does not.
    watched: BTreeMap<&'static str, bool>,
}

impl Measures {
    /// Counts in `progress` what happens from now on.
    pub(super) fn new(progress: Progress) -> Self {
        let triggers = Triggers::since(Timestamp::now().as_millisecond());
        Self { progress, triggers, watched: BTreeMap::new() }
    }

    /// The counters.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Kinds that the API server answers questions about, or does not.
    pub(super) fn watched(&self) -> &BTreeMap<&'static str, bool> {
        &self.watched
    }

    /// A change that `objects` is about to take in.
    pub(super) fn note(&mut self, change: &Change, objects: &Objects) {
        match change {
            Change::Service(..) => self.progress.service_changed(Timestamp::now()),
            Change::Slice(name, slice) => {
                self.progress.endpoints_changed(Timestamp::now());
                let owner = slice.as_ref().map(|slice| service_of(name, slice));
                // A slice may have moved to another Service.
                let before = objects.owner(name);
                if let Some(before) = before.filter(|before| Some(*before) != owner.as_ref()) {
                    self.triggers.forget(before);
                }
                if let (Some(owner), Some(slice)) = (owner, slice) {
                    self.triggers.note(&owner, slice.trigger);
                }
            }
            Change::Watched(kind, up) => drop(self.watched.insert(kind, *up)),
            Change::Node(_) | Change::Problems(_) | Change::Synced => {}
        }
    }

    /// What changed has been written, or the kernel refused.
    pub(super) fn round(&mut self, began: Instant, succeeded: bool) {
        let now = Timestamp::now();
        self.progress.written(began.elapsed(), succeeded, now);
        if succeeded {
            for (family, took) in self.triggers.take(now.as_millisecond()) {
                self.progress.programmed(family, took);
            }
        }
    }
}
