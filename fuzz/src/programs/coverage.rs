//! What libFuzzer is told about programs that it cannot look into: each kind of fate of a packet is
//! a counter of its own, and an input with a fate that no other had is kept.
#![expect(unsafe_code, reason = "the linker gathers counters from a section of this name")]

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicU8, Ordering};

const LEN: usize = 1 << 14;

// SAFETY: the section holds bytes only, and libFuzzer reads and clears them between two inputs.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static COUNTERS: [AtomicU8; LEN] = [const { AtomicU8::new(0) }; LEN];

/// Something happened that is this.
pub(super) fn note(what: impl Hash) {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(what);
    let place = usize::try_from(hash % LEN as u64).unwrap();
    // Wraps after 255, which libFuzzer sees as the first time.
    COUNTERS[place].fetch_add(1, Ordering::Relaxed);
}
