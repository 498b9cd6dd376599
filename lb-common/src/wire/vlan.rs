//! VLAN tags (IEEE 802.1Q clause 9).

use super::eth::EtherType;
use bytemuck::{Pod, Zeroable};

/// A tag as it stands between the hardware addresses and what it carries, behind its `EtherType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Vlan {
    /// Priority, drop eligibility, VLAN number; network order.
    pub tci: [u8; 2],
    /// What follows.
    pub ethertype: EtherType,
}

impl Vlan {
    /// Length in bytes.
    pub const LEN: usize = 4;
}

const _: () = assert!(size_of::<Vlan>() == Vlan::LEN);
