//! `ADDRESSES`: hash, [`Addr`](crate::wire::Addr) to [`AddressValue`].
//!
//! Written by the agent; read for packets without a flow, to tell in one look-up that a packet is
//! none of ours. An entry lives as long as the address means anything.

use bytemuck::{Pod, Zeroable};

/// What an address means: bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct AddressValue(pub u32);

impl AddressValue {
    /// An address of the node that serves node ports.
    pub const NODE_PORTS: u32 = 1;
    /// A Service has frontends at it.
    pub const FRONTEND: u32 = 2;
    /// It is a `ClusterIP`: ports that no Service has are refused.
    pub const CLUSTER_IP: u32 = 4;
    /// An echo request is answered (`--answer-ping`, and a usable endpoint behind it).
    pub const ANSWERS_PING: u32 = 8;
    /// Endpoints are at it: fragments that come from it may belong to a flow.
    pub const BACKEND: u32 = 16;

    /// Whether one of these bits is set.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }
}
