//! The text of a manifest: whatever it is, it is read within bounds, means the same twice, and what
//! is said about it can be shown.

use crate::source;
use lb_userspace::source::controllers::Memory;

/// Reads the text of a file twice, as two rounds of the agent's source would.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (objects, problems) = source::objects(&text);
    source::assert_shown_in_a_line(&problems);
    let mut memory = Memory::default();
    let (snapshot, problems) = source::derive(&objects, &mut memory);
    source::assert_shown_in_a_line(&problems);
    assert_eq!(source::derive(&objects, &mut memory), (snapshot, problems), "the second time");
}
