//! ICMP (RFC 792) and `ICMPv6` (RFC 4443): the errors that this product sends.

use bytemuck::{Pod, Zeroable};

/// The part that every ICMP and `ICMPv6` message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Icmp {
    /// Message type.
    pub kind: u8,
    /// What exactly, depending on the type.
    pub code: u8,
    /// Checksum; for `ICMPv6` over a pseudo-header too (RFC 4443 section 2.3).
    pub check: [u8; 2],
    /// Depends on the type; zero in the errors that are sent here.
    pub rest: [u8; 4],
}

impl Icmp {
    /// Length in bytes.
    pub const LEN: usize = 8;
    /// ICMP "destination unreachable".
    pub const V4_UNREACHABLE: u8 = 3;
    /// ICMP code "port unreachable".
    pub const V4_PORT: u8 = 3;
    /// `ICMPv6` "destination unreachable".
    pub const V6_UNREACHABLE: u8 = 1;
    /// `ICMPv6` code "port unreachable".
    pub const V6_PORT: u8 = 4;
}

const _: () = assert!(size_of::<Icmp>() == Icmp::LEN);
