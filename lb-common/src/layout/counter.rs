//! `SERVICE_STATS` and `BACKEND_STATS`: per-CPU arrays of [`Traffic`]; `REASONS`: per-CPU array of
//! packet counts, by [`Reason`](crate::verdict::Reason).
//!
//! Written by the programs without locks, each CPU in its own copy; a reader adds the copies.

use bytemuck::{Pod, Zeroable};

/// What went through a service port or a backend since the cell was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Traffic {
    /// Packets translated, both directions.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// Flows opened.
    pub connections: u64,
}

const _: () = assert!(size_of::<Traffic>() == 24);
