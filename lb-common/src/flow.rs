//! Who talks to whom: the key under which a flow is remembered.

use crate::wire::{Addr, IpProto, Port};
use bytemuck::{Pod, Zeroable};

/// Where on its way through the host a packet was seen.
///
/// A flow has two halves, one per direction, and each is translated at one edge only. The edge is
/// part of the key, so that a half is never applied at the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Edge(pub u8);

impl Edge {
    /// The packet came in from a link (XDP, or TC ingress).
    pub const INGRESS: Self = Self(0);
    /// The packet is about to leave by a link (TC egress).
    pub const EGRESS: Self = Self(1);
}

/// The 5-tuple of a packet and the edge at which it was seen: the key of the conntrack map.
///
/// The forward half of a flow holds the frontend's address as `dst`, so two frontends with one
/// backend never share an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct FlowKey {
    /// Source address of the packet.
    pub src: Addr,
    /// Destination address of the packet.
    pub dst: Addr,
    /// Source port of the packet.
    pub sport: Port,
    /// Destination port of the packet.
    pub dport: Port,
    /// Its protocol.
    pub proto: IpProto,
    /// Where it was seen.
    pub edge: Edge,
    /// Always zero.
    pub zero: [u8; 2],
}

impl FlowKey {
    /// The key of the packets that answer this one, seen at `edge`.
    #[inline(always)]
    #[must_use]
    pub const fn reply(&self, edge: Edge) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            proto: self.proto,
            edge,
            zero: [0; 2],
        }
    }
}

const _: () = assert!(size_of::<FlowKey>() == 40);
