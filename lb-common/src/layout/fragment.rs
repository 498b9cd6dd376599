//! `FRAGMENTS`: LRU hash, [`FragmentKey`] to [`FragmentValue`]; `HELD`: LRU hash, [`HeldKey`] to
//! [`HeldValue`].
//!
//! Written and read by the TC programs. The first fragment of a datagram has the ports and finds
//! the flow; what became of it is noted for the others, which have none (RFC 791 section 3.2,
//! RFC 8200 section 4.5). A fragment that comes before the first is kept in `HELD` and put back on
//! its way when the first has come. Entries live until the kernel evicts the least recently used
//! ones; a note counts for [`FragmentValue::LIFETIME_S`].

use super::conntrack::FlowValue;
use crate::flow::Edge;
use crate::wire::{Addr, IpProto};
use bytemuck::{Pod, Zeroable};

/// A datagram in fragments, as its receiver would put it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct FragmentKey {
    /// Source address of the fragments.
    pub src: Addr,
    /// Their destination.
    pub dst: Addr,
    /// Their identification as it travels: 4 bytes in IPv6, 2 and zeros in IPv4.
    pub id: [u8; 4],
    /// The protocol of the datagram; [`FragmentKey::ANY_PROTO`] in IPv6, whose identifications
    /// count for all protocols together (RFC 8200 section 4.5).
    pub proto: IpProto,
    /// Where they were seen.
    pub edge: Edge,
    /// Always zero.
    pub zero: [u8; 2],
}

impl FragmentKey {
    /// Whatever the datagram carries.
    pub const ANY_PROTO: IpProto = IpProto(0);
}

/// What became of the first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct FragmentValue {
    /// The half of its flow, `seen` being the time of the first fragment. Backend 0: it was none
    /// of ours, and neither are the others.
    pub flow: FlowValue,
    /// How many fragments are held because the first has not come; then `flow` means nothing.
    pub held: u32,
    /// Always zero.
    pub zero: [u8; 4],
}

impl FragmentValue {
    /// How long a note counts, in seconds. Identifications come again: within this time 65,536
    /// datagrams of one protocol between two hosts would have to be sent.
    pub const LIFETIME_S: u32 = 5;
    /// How many fragments of a datagram are held: 64 KiB in frames of 1,500 bytes.
    pub const MAX_HELD: u32 = 45;
}

/// A fragment that waits for the first of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct HeldKey {
    /// The datagram.
    pub datagram: FragmentKey,
    /// Counts the fragments that are held, from 0.
    pub number: u32,
    /// Always zero.
    pub zero: [u8; 4],
}

/// Its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(8))]
pub struct HeldValue {
    /// Bytes of the frame.
    pub len: u32,
    /// Low half of the kernel's jiffies when it came.
    pub seen: u32,
    /// The frame, then whatever was there before.
    pub frame: [u8; HeldValue::MAX_LEN],
}

impl HeldValue {
    /// The longest frame that is held, in bytes; longer ones are dropped.
    pub const MAX_LEN: usize = 2040;
}

const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<FragmentValue>() == 72);
const _: () = assert!(size_of::<HeldKey>() == 48);
const _: () = assert!(size_of::<HeldValue>() == 2048);
