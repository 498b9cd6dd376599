//! `SOURCE_RANGES`: longest-prefix-match trie, [`SourceRangeKey`] to 1.
//!
//! Written by the agent; read for the first packet of a flow to a guarded frontend
//! (`loadBalancerSourceRanges`). An entry lives as long as its service port has the range.

use bytemuck::{Pod, Zeroable};

/// Clients that may use the guarded frontends of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SourceRangeKey {
    /// Bits of what follows that count: 32 for the id, then those of the address; an IPv4 prefix
    /// of n bits has 32 + 96 + n.
    pub prefix_len: u32,
    /// The service port.
    pub service: u32,
    /// The address, as in [`Addr`](crate::wire::Addr).
    pub addr: [u8; 16],
}

const _: () = assert!(size_of::<SourceRangeKey>() == 24);
