//! UDP (RFC 768).

use super::Port;
use bytemuck::{Pod, Zeroable};

/// The UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Udp {
    /// Source port.
    pub src: Port,
    /// Destination port.
    pub dst: Port,
    /// Length of header and payload in bytes, network order.
    pub len: [u8; 2],
    /// Checksum over pseudo-header, header and payload. Zero over IPv4 means "none".
    pub check: [u8; 2],
}

impl Udp {
    /// Length in bytes.
    pub const LEN: usize = 8;
    /// Where the checksum lies in the header.
    pub const CHECK_OFFSET: usize = 6;

    /// Length of header and payload in bytes as the header claims.
    #[inline(always)]
    #[expect(clippy::len_without_is_empty, reason = "a header is no container")]
    pub const fn len(&self) -> u16 {
        u16::from_be_bytes(self.len)
    }
}

const _: () = assert!(size_of::<Udp>() == Udp::LEN);
