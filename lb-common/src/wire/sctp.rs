//! SCTP (RFC 9260 section 3).

use super::Port;
use bytemuck::{Pod, Zeroable};

/// The common header and the type of the first chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Sctp {
    /// Source port.
    pub src: Port,
    /// Destination port.
    pub dst: Port,
    /// Verification tag.
    pub tag: [u8; 4],
    /// `CRC32c` over the packet, little-endian (RFC 9260 appendix A). Zero is "none" (RFC 9653),
    /// or not computed yet by a sender on this machine.
    pub check: [u8; 4],
    /// Type of the first chunk.
    pub chunk: u8,
    /// Its flags.
    pub chunk_flags: u8,
    /// Its length in bytes, network order.
    pub chunk_len: [u8; 2],
}

impl Sctp {
    /// Length of the common header and one chunk header in bytes; no packet has less.
    pub const LEN: usize = 16;
    /// Where the checksum lies in the header.
    pub const CHECK_OFFSET: usize = 8;
    /// Chunk type: opens an association.
    pub const INIT: u8 = 1;
    /// Chunk type: ends an association at once.
    pub const ABORT: u8 = 6;
    /// Chunk type: the last of an association.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

const _: () = assert!(size_of::<Sctp>() == Sctp::LEN);
