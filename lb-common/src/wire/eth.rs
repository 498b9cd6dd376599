//! Ethernet II frames (IEEE 802.3, clause 3).

use bytemuck::{Pod, Zeroable};

/// The Ethernet header without a VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Eth {
    /// Destination hardware address.
    pub dst: [u8; 6],
    /// Source hardware address.
    pub src: [u8; 6],
    /// What follows; see [`EtherType`].
    pub ethertype: EtherType,
}

impl Eth {
    /// Length in bytes.
    pub const LEN: usize = 14;
}

/// An `EtherType` (IANA "IEEE 802 Numbers"), network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct EtherType(pub [u8; 2]);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: Self = Self([0x08, 0x00]);
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: Self = Self([0x81, 0x00]);
    /// A service tag: another one follows (IEEE 802.1ad).
    pub const SERVICE_VLAN: Self = Self([0x88, 0xa8]);
    /// IPv6 (RFC 2464).
    pub const IPV6: Self = Self([0x86, 0xdd]);
}

const _: () = assert!(size_of::<Eth>() == Eth::LEN);
