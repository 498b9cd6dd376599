//! IPv4 (RFC 791 section 3.1).

use super::IpProto;
use bytemuck::{Pod, Zeroable};

/// The fixed part of an IPv4 header; options may follow, see [`Ipv4::header_len`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Ipv4 {
    /// Version (high half) and header length in 32-bit words (low half).
    pub version_ihl: u8,
    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub tos: u8,
    /// Length of header and payload in bytes, network order.
    pub total_len: [u8; 2],
    /// Identification, network order.
    pub id: [u8; 2],
    /// Flags and fragment offset in 8-byte units, network order.
    pub frag: [u8; 2],
    /// Time to live in hops.
    pub ttl: u8,
    /// What follows the header.
    pub proto: IpProto,
    /// Checksum over the header (RFC 1071).
    pub check: [u8; 2],
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Ipv4 {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 20;
    /// The longest header with options in bytes.
    pub const MAX_LEN: usize = 60;
    /// Version 4, no options.
    pub const VERSION_IHL: u8 = 0x45;
    /// "Don't fragment" in the first byte of [`Ipv4::frag`].
    pub const DONT_FRAGMENT: u8 = 0x40;

    /// Header length with options in bytes as the header claims, 0 to 60; a valid one has at
    /// least [`Ipv4::LEN`].
    #[inline(always)]
    pub const fn header_len(&self) -> usize {
        ((self.version_ihl & 0x0f) as usize) << 2
    }

    /// Length of header and payload in bytes as the header claims.
    #[inline(always)]
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes(self.total_len)
    }

    /// Whether this is a fragment: "more fragments" is set or the offset is not 0.
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        self.frag[0] & 0x3f != 0 || self.frag[1] != 0
    }

    /// Where a fragment belongs in its datagram, in bytes.
    #[inline(always)]
    pub const fn fragment_offset(&self) -> u32 {
        (u16::from_be_bytes(self.frag) & 0x1fff) as u32 * 8
    }

    /// Whether this is a fragment behind the first: it has no transport header.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.frag[0] & 0x1f != 0 || self.frag[1] != 0
    }
}

const _: () = assert!(size_of::<Ipv4>() == Ipv4::LEN);
