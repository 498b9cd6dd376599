//! Which slots are free: a buddy allocator (Knuth, The Art of Computer Programming, volume 1,
//! section 2.5).
//!
//! A range occupies a block: a power of two slots, aligned to its size. A block that comes back
//! melts with its free neighbour, so sizes may change for years without the space falling apart.
//! A range is never moved and never overlaps another one in use.

use super::ids::Full;
use std::collections::{BTreeMap, BTreeSet};

/// Free blocks.
#[derive(Debug)]
pub(super) struct Ranges {
    limit: u32,
    /// First slots, by size of block.
    free: BTreeMap<u32, BTreeSet<u32>>,
}

impl Ranges {
    /// `limit` free slots.
    pub(super) fn new(limit: u32) -> Self {
        let mut ranges = Self { limit, free: BTreeMap::new() };
        let mut base = 0;
        while base < limit {
            // The largest power of two that fits: bits of `limit` from the top are aligned.
            let size = 1 << (limit - base).ilog2();
            ranges.insert(base, size);
            base += size;
        }
        ranges
    }

    /// Marks `len` slots from `base` on as used; false if that is no block of ours, or not free.
    pub(super) fn reserve(&mut self, base: u32, len: u32) -> bool {
        let Some(size) = block(len).filter(|size| base.is_multiple_of(*size)) else { return false };
        let around = |found: &u32| -> u32 { base - base % found };
        let mut classes = self.free.range(size..).map(|(found, bases)| (*found, bases));
        let Some(found) =
            classes.find(|(found, bases)| bases.contains(&around(found))).map(|(found, _)| found)
        else {
            return false;
        };
        let first = around(&found);
        self.remove(first, found);
        self.cut((first, found), (base, size));
        true
    }

    /// `len` free slots, 1 or more; gives the first one.
    pub(super) fn take(&mut self, len: u32) -> Result<u32, Full> {
        let full = Full { what: "slots", limit: self.limit };
        let size = block(len).ok_or(full)?;
        let mut classes = self.free.range(size..);
        let (found, base) =
            classes.find_map(|(found, bases)| Some((*found, *bases.first()?))).ok_or(full)?;
        self.remove(base, found);
        self.cut((base, found), (base, size));
        Ok(base)
    }

    /// Takes back what `take` gave, or `reserve` marked.
    pub(super) fn give_back(&mut self, base: u32, len: u32) {
        let Some(mut size) = block(len) else { return };
        let mut base = base;
        // The neighbour differs in the bit that is worth `size`.
        while self.remove(base ^ size, size) {
            base &= !size;
            size *= 2;
        }
        self.insert(base, size);
    }

    /// Frees what `whole` has around `part`; both are (first slot, size).
    fn cut(&mut self, whole: (u32, u32), part: (u32, u32)) {
        let (mut base, mut size) = whole;
        while size > part.1 {
            size /= 2;
            if part.0 < base + size {
                self.insert(base + size, size);
            } else {
                self.insert(base, size);
                base += size;
            }
        }
    }

    fn insert(&mut self, base: u32, size: u32) {
        self.free.entry(size).or_default().insert(base);
    }

    fn remove(&mut self, base: u32, size: u32) -> bool {
        self.free.get_mut(&size).is_some_and(|bases| bases.remove(&base))
    }
}

/// The size of the block that holds `len` slots.
fn block(len: u32) -> Option<u32> {
    if len == 0 { None } else { len.checked_next_power_of_two() }
}

#[cfg(test)]
impl Ranges {
    /// Free blocks: first slot and size.
    pub(super) fn blocks(&self) -> Vec<(u32, u32)> {
        let blocks = |(size, bases): (&u32, &BTreeSet<u32>)| {
            bases.iter().map(|base| (*base, *size)).collect::<Vec<_>>()
        };
        self.free.iter().flat_map(blocks).collect()
    }
}
