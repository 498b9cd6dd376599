//! IPv6 (RFC 8200 section 3).

use super::IpProto;
use bytemuck::{Pod, Zeroable};

/// The fixed IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Ipv6 {
    /// Version (top four bits), traffic class, flow label.
    pub version_class_flow: [u8; 4],
    /// Length of what follows this header in bytes, network order.
    pub payload_len: [u8; 2],
    /// What follows: a protocol, or an extension header.
    pub next_header: IpProto,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
}

impl Ipv6 {
    /// Length in bytes.
    pub const LEN: usize = 40;

    /// Length of what follows the header in bytes as the header claims.
    #[inline(always)]
    pub const fn payload_len(&self) -> u16 {
        u16::from_be_bytes(self.payload_len)
    }
}

/// What IPv6 extension headers begin with (RFC 8200 section 4; RFC 4302 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Extension {
    /// What follows this header.
    pub next_header: IpProto,
    /// Its length, in a unit that depends on the kind.
    pub len: u8,
    /// Depends on the kind.
    pub rest: [u8; 6],
}

impl Extension {
    /// Length of the shortest header in bytes.
    pub const LEN: usize = 8;

    /// Length in bytes of a header of this kind: 8-byte units behind the first, but 4-byte units
    /// and two more for an authentication header. 8 to 2,048.
    ///
    /// An authentication header has 12 bytes at least (RFC 4302 section 2): one that claims 8 is
    /// given 1,032, which is farther than anybody walks, and costs no branch.
    #[inline(always)]
    pub const fn header_len(&self, kind: IpProto) -> usize {
        match kind {
            IpProto::AUTHENTICATION => (self.len.wrapping_sub(1) as usize + 3) * 4,
            IpProto::FRAGMENT => Self::LEN,
            _ => (self.len as usize + 1) * 8,
        }
    }

    /// Of a routing header: how many addresses the packet has yet to visit.
    #[inline(always)]
    pub const fn segments_left(&self) -> u8 {
        self.rest[1]
    }

    /// Of a fragment header: the identification as it travels.
    #[inline(always)]
    pub const fn fragment_id(&self) -> [u8; 4] {
        [self.rest[2], self.rest[3], self.rest[4], self.rest[5]]
    }

    /// Of a fragment header: whether the datagram has other fragments (RFC 6946 has the word
    /// "atomic" for those that have not).
    #[inline(always)]
    pub const fn is_fragment(&self) -> bool {
        self.is_later_fragment() || self.rest[1] & 1 != 0
    }

    /// Of a fragment header: where it belongs in the datagram, in bytes.
    #[inline(always)]
    pub const fn fragment_offset(&self) -> u32 {
        (u16::from_be_bytes([self.rest[0], self.rest[1]]) & 0xfff8) as u32
    }

    /// Of a fragment header: whether it is one behind the first.
    #[inline(always)]
    pub const fn is_later_fragment(&self) -> bool {
        self.rest[0] != 0 || self.rest[1] & 0xf8 != 0
    }
}

const _: () = assert!(size_of::<Ipv6>() == Ipv6::LEN);
const _: () = assert!(size_of::<Extension>() == Extension::LEN);
