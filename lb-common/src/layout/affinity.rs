//! `AFFINITY`: LRU hash, [`AffinityKey`] to [`AffinityValue`].
//!
//! Written and read by the programs when a client with `sessionAffinity: ClientIP` opens a
//! connection. An entry counts while its client was seen within the Service's timeout and its
//! backend may still be chosen.

use crate::wire::Addr;
use bytemuck::{Pod, Zeroable};

/// A client of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct AffinityKey {
    /// The client's address; [`Addr::ANY`] for processes of the node itself.
    pub client: Addr,
    /// [`FrontendValue::affinity`](super::frontend::FrontendValue::affinity).
    pub affinity: u32,
    /// Always zero.
    pub zero: [u8; 4],
}

/// The backend that a client had last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AffinityValue {
    /// Index into `BACKENDS`.
    pub backend: u32,
    /// Its generation then.
    pub generation: u32,
    /// Low half of the kernel's jiffies when the client opened its last connection.
    pub seen: u32,
}

/// `SIBLINGS`: hash, this to a backend id.
///
/// Written by the agent for Services whose affinity spans all ports; read for a client that is
/// remembered with an endpoint of another port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SiblingKey {
    /// The endpoint's address.
    pub addr: Addr,
    /// The service port that is asked for.
    pub service: u32,
    /// Always zero.
    pub zero: [u8; 4],
}

const _: () = assert!(size_of::<AffinityKey>() == 24);
const _: () = assert!(size_of::<SiblingKey>() == 24);
