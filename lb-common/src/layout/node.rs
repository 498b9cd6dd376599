//! `LINKS`, `CLUSTER_CIDRS`, `CLOCK`: what the agent tells the programs about the
//! node. Written by the agent when the node changes; read for the first packet of a flow.

use crate::wire::Addr;
use bytemuck::{Pod, Zeroable};

/// `LINKS`: hash, link index to this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LinkValue {
    /// The IPv4 address that stands for a client in packets leaving by this link;
    /// [`Addr::ANY`]: none.
    pub masquerade_v4: Addr,
    /// The IPv6 address for the same.
    pub masquerade_v6: Addr,
    /// [`LinkValue::POD`] or [`LinkValue::UPLINK`]; 0: a link without programs, listed for its
    /// addresses. Of the node (index 0): 0, [`LinkValue::TAKING_OVER`] or
    /// [`LinkValue::TAKEN_OVER`].
    pub kind: u8,
    /// How the TC programs are attached: [`LinkValue::TCX`] or [`LinkValue::CLSACT`]; 0: not.
    pub tc: u8,
    /// Whether XDP is attached, or why not: [`XdpState`].
    pub xdp: XdpState,
    /// Always zero.
    pub zero: [u8; 5],
    /// Its name, zero-filled (`IFNAMSIZ`), for people.
    pub name: [u8; 16],
}

impl LinkValue {
    /// Clients behind it are pods of this node.
    pub const POD: u8 = 1;
    /// Other hosts are behind it.
    pub const UPLINK: u8 = 2;
    /// The node is being taken over from another proxy, not all of whose connections are known.
    pub const TAKING_OVER: u8 = 3;
    /// The node was taken over from another proxy, some of whose connections are left.
    pub const TAKEN_OVER: u8 = 4;
    /// TC programs are attached by TCX links (Linux 6.6).
    pub const TCX: u8 = 1;
    /// TC programs are attached to the `clsact` qdisc.
    pub const CLSACT: u8 = 2;
}

/// Whether the XDP program runs on a link, and the reason if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct XdpState(pub u8);

impl XdpState {
    /// XDP is for uplinks only.
    pub const NOT_AN_UPLINK: Self = Self(0);
    /// Runs in the driver.
    pub const DRIVER: Self = Self(1);
    /// Runs in the generic hook, because the operator asked for it.
    pub const GENERIC: Self = Self(2);
    /// The operator turned it off.
    pub const OFF: Self = Self(3);
    /// A veth peer that leaves checksums to the device hands XDP unfinished ones.
    pub const VETH_CHECKSUMS: Self = Self(4);
    /// The driver refused it.
    pub const REFUSED: Self = Self(5);
}

/// `CLUSTER_CIDRS`: longest-prefix-match trie, this to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct CidrKey {
    /// Bits of `addr` that count, 0 to 128; an IPv4 prefix of n bits has 96 + n.
    pub prefix_len: u32,
    /// The address, as in [`Addr`].
    pub addr: [u8; 16],
}

/// `CLOCK`: array of one. Lets readers turn jiffies into time:
/// now = `jiffies` + (`CLOCK_MONOTONIC` - `monotonic_ns`) * `hz` / 10^9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Clock {
    /// Low half of the kernel's jiffies at one moment.
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC` at the same moment, in nanoseconds.
    pub monotonic_ns: u64,
    /// Jiffies a second.
    pub hz: u64,
}

impl Clock {
    /// Low half of the jiffies at the moment `monotonic_ns`.
    pub fn jiffies_at(&self, monotonic_ns: u64) -> u32 {
        let elapsed_ns = monotonic_ns.saturating_sub(self.monotonic_ns);
        let elapsed = u128::from(elapsed_ns) * u128::from(self.hz) / 1_000_000_000;
        (u128::from(self.jiffies) + elapsed) as u32
    }

    /// Seconds between the jiffies whose low half is `seen` and the moment `monotonic_ns`.
    pub fn seconds_since(&self, seen: u32, monotonic_ns: u64) -> u64 {
        // An entry may be touched between reading the clock and reading the entry.
        let age = self.jiffies_at(monotonic_ns).wrapping_sub(seen);
        if age > u32::MAX / 2 { 0 } else { u64::from(age) / self.hz.max(1) }
    }
}

const _: () = assert!(size_of::<LinkValue>() == 56);
const _: () = assert!(size_of::<CidrKey>() == 20);
