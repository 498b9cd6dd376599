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

const _: () = assert!(size_of::<Ipv6>() == Ipv6::LEN);
