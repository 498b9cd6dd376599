//! `FRONTENDS`: hash, [`FrontendKey`] to [`FrontendValue`].
//!
//! Written by the agent, read for the first packet of a flow and by the socket programs. An entry
//! lives as long as the address and port belong to a Service. It is replaced in one step: what it
//! points to is written before, and the old range is given back afterwards.

use crate::wire::{Addr, IpProto, Port};
use bytemuck::{Pod, Zeroable};

/// An address and port that mean a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FrontendKey {
    /// The virtual address; [`Addr::ANY`] stands for the addresses that serve
    /// node ports (`ADDRESSES`).
    pub addr: Addr,
    /// The service port or node port.
    pub port: Port,
    /// The protocol.
    pub proto: IpProto,
    /// 4 or 6 for a node port, which has no address that would tell its family; else 0.
    pub family: u8,
    /// Always zero.
    pub zero: [u8; 4],
}

impl FrontendKey {
    /// The key of a port at an address of a Service.
    #[inline(always)]
    pub const fn of(addr: Addr, port: Port, proto: IpProto) -> Self {
        Self { addr, port, proto, family: 0, zero: [0; 4] }
    }

    /// The key of a node port.
    #[inline(always)]
    pub const fn node_port(port: Port, proto: IpProto, v6: bool) -> Self {
        let family = if v6 { 6 } else { 4 };
        Self { addr: Addr::ANY, port, proto, family, zero: [0; 4] }
    }
}

/// What a frontend leads to, by where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FrontendValue {
    /// The service port: an id in `SERVICES`, never 0.
    pub service: u32,
    /// Clients are remembered under this id (`AFFINITY`); 0: no session affinity.
    pub affinity: u32,
    /// How long a silent client is remembered, in seconds.
    pub affinity_timeout_s: u32,
    /// For pods of the cluster (pods of this node, where the address is not a `ClusterIP`) and for
    /// the node itself.
    pub inside: Choice,
    /// For everybody else.
    pub outside: Choice,
    /// What kind of address this is: [`FrontendValue::CLUSTER_IP`] and its kin.
    pub kind: u8,
    /// Bits: [`FrontendValue::GUARDED`] and its kin.
    pub flags: u8,
    /// Always zero.
    pub zero: [u8; 2],
}

impl FrontendValue {
    /// `spec.clusterIPs`.
    pub const CLUSTER_IP: u8 = 1;
    /// `spec.ports[].nodePort`.
    pub const NODE_PORT: u8 = 2;
    /// `spec.externalIPs`.
    pub const EXTERNAL_IP: u8 = 3;
    /// `status.loadBalancer.ingress`.
    pub const LOAD_BALANCER: u8 = 4;
    /// Only clients in `SOURCE_RANGES` may use it.
    pub const GUARDED: u8 = 1;
    /// Clients are remembered for all ports of the Service together: the endpoint of another port
    /// is found again in `SIBLINGS`.
    pub const SHARED_AFFINITY: u8 = 2;
}

/// The backends that one class of clients may reach: a range of `SLOTS`.
///
/// A range is immutable while a frontend points to it. A slot holds a backend id; a Maglev table
/// is a range in which ids repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Choice {
    /// First slot.
    pub base: u32,
    /// Number of slots to choose from; 0: nobody to send to, [`Choice::DROP`] says what then.
    pub len: u32,
    /// Bits: [`Choice::DROP`] and its kin.
    pub flags: u32,
}

impl Choice {
    /// An empty range means "discard silently"; without the bit it means "refuse".
    pub const DROP: u32 = 1;
    /// Always replace the client's address, as `--snat always` asks.
    pub const SNAT: u32 = 2;
    /// The range holds the backends of this node only (a `Local` traffic policy).
    pub const LOCAL: u32 = 4;
    /// Never replace the client's address, even where the way back would need it: `--snat always`
    /// replaces where kube-proxy does and nowhere else. A client that reached itself is the
    /// exception.
    pub const KEEP: u32 = 8;
    /// One more slot, behind the others, holds the agent of this node
    /// ([`BackendValue::AGENT`](super::backend::BackendValue::AGENT)): it gets all new connections
    /// while it is there.
    pub const AGENT: u32 = 16;

    /// Number of slots of the range, with that of the agent.
    #[inline(always)]
    pub const fn slots(&self) -> u32 {
        self.len.saturating_add(self.has_agent() as u32)
    }

    /// Whether the agent of this node has a slot behind the others.
    #[inline(always)]
    pub const fn has_agent(&self) -> bool {
        self.flags & Self::AGENT != 0
    }
}

const _: () = assert!(size_of::<FrontendKey>() == 24);
const _: () = assert!(size_of::<FrontendValue>() == 40);
