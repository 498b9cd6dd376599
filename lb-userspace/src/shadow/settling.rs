//! Differences that last: two proxies never act at the same moment, so one that passes is none.

use super::Difference;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a difference has to last.
pub const LASTS: Duration = Duration::from_secs(5);

/// Since when there are which differences.
#[derive(Debug, Default)]
pub struct Settling(BTreeMap<Difference, Instant>);

impl Settling {
    /// There are these now.
    pub fn note(&mut self, differences: BTreeSet<Difference>, now: Instant) {
        self.0.retain(|difference, _| differences.contains(difference));
        for difference in differences {
            self.0.entry(difference).or_insert(now);
        }
    }

    /// Those that have lasted.
    pub fn settled(&self, now: Instant) -> BTreeSet<Difference> {
        let lasted = self.0.iter().filter(|(_, since)| now.duration_since(**since) >= LASTS);
        lasted.map(|(difference, _)| difference.clone()).collect()
    }

    /// How many there are, lasting or not.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
