//! `CONNTRACK`: LRU hash, [`FlowKey`](crate::flow::FlowKey) to [`FlowValue`].
//!
//! Written by the packet programs when a connection opens, and by the agent for connections that
//! another proxy translates; read on every packet of it. Both halves of a flow are entries of one
//! form: the packet that was seen, and the packet that it has to become. An entry holds the whole
//! translation, so an existing flow costs one look-up. Entries live until the kernel evicts the
//! least recently used ones.

use crate::algo::tcp_state::Progress;
use crate::wire::{Addr, Port};
use bytemuck::{Pod, Zeroable};

/// What a packet of a known flow becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct FlowValue {
    /// Source address after translation.
    pub src: Addr,
    /// Destination address after translation.
    pub dst: Addr,
    /// Source port after translation.
    pub sport: Port,
    /// Destination port after translation.
    pub dport: Port,
    /// One's complement difference that the change of addresses makes to a checksum
    /// ([`crate::algo::checksum`]).
    pub addr_diff: u16,
    /// The same for the change of ports.
    pub port_diff: u16,
    /// The backend of this flow: an index into `BACKENDS`; 0: another proxy's.
    pub backend: u32,
    /// The backend's generation when the flow was opened.
    pub generation: u32,
    /// The service port of this flow.
    pub service: u32,
    /// Index of the link by which a redirected packet leaves; 0: the host's stack forwards it.
    pub link: u32,
    /// Low half of the kernel's jiffies when the last packet was seen, exact to a second.
    pub seen: u32,
    /// What has been seen of the connection, in both directions.
    pub progress: Progress,
    /// Bits: [`FlowValue::REPLY`] and its kin.
    pub flags: u8,
    /// Always zero.
    pub zero: [u8; 2],
}

impl FlowValue {
    /// This half carries what the backend answers.
    pub const REPLY: u8 = 1;
    /// The source is replaced too, so both halves are translated at ingress and redirected.
    pub const SNAT: u8 = 2;
    /// The backend is the client itself: packets turn back into the link they came from.
    pub const HAIRPIN: u8 = 4;
    /// The client is a process of the node that no socket program could serve: the forward half is
    /// translated as it leaves, the reply half as it comes in.
    pub const OWN: u8 = 8;
    /// Another proxy translates the flow (kube-proxy's rules in netfilter, from before the agent
    /// took over): its packets pass untouched until it ends. The translation says only where the
    /// other half is found; backend and generation are 0.
    pub const FOREIGN: u8 = 16;
    /// The backend stands in for the name server of this node's agent, which was not there: UDP
    /// packets go to it again as soon as it is, for a client that takes all its ports in turn would
    /// else find flows of the time without it for ever.
    pub const STAND_IN: u8 = 32;

    /// Whether another proxy translates the flow.
    #[inline(always)]
    pub const fn is_foreign(&self) -> bool {
        self.flags & Self::FOREIGN != 0
    }
}

const _: () = assert!(size_of::<FlowValue>() == 64);
