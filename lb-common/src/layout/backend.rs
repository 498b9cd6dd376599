//! `BACKENDS`: array, backend id to [`BackendValue`].
//!
//! Written by the agent; read for UDP packets and SYNs (its generation) and for new flows (the rest). A
//! cell belongs to one endpoint of one service port. When the endpoint is gone the generation
//! moves on before the cell is given to another one, so whatever still names the old generation
//! is known to be stale without a walk over any table.

use crate::wire::{Addr, IpProto, Port};
use bytemuck::{Pod, Zeroable};

/// An endpoint of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BackendValue {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
    /// Its protocol; zero in a free cell.
    pub proto: IpProto,
    /// Bits: [`BackendValue::LOCAL`] and its kin.
    pub flags: u8,
    /// The service port that it serves; 0 in a free cell.
    pub service: u32,
    /// Counts the owners of this cell. UDP flows and affinities of another generation are void.
    pub generation: u32,
    /// Always zero.
    pub zero: [u8; 4],
}

impl BackendValue {
    /// It runs on this node.
    pub const LOCAL: u8 = 1;
    /// New connections may choose it where no `Local` policy applies.
    pub const IN_CLUSTER_SET: u8 = 2;
    /// New connections may choose it where a `Local` policy applies.
    pub const IN_LOCAL_SET: u8 = 4;
    /// It is shutting down.
    pub const TERMINATING: u8 = 8;
    /// Its `ready` condition holds.
    pub const READY: u8 = 16;
    /// Its `serving` condition holds.
    pub const SERVING: u8 = 32;
    /// It is the name server of this node's agent: there while its socket and its
    /// [`heartbeat`](super::heartbeat) are.
    pub const AGENT: u8 = 64;
}

const _: () = assert!(size_of::<BackendValue>() == 32);
