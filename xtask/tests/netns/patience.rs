//! Waiting for what must come true, and not a moment longer.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// How often is looked.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `holds`; fails with `claim` if that takes longer than `patience`.
pub(crate) fn within(patience: Duration, claim: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {claim}");
        thread::sleep(PAUSE);
    }
}

/// The same with all the time it may need.
pub(crate) fn eventually(claim: &str, holds: impl FnMut() -> bool) {
    within(LONG, claim, holds);
}
