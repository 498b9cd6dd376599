//! Packets as bytes: those that clients send, and what became of them.
//!
//! Built and read by etherparse. SCTP (RFC 9260) is not among its protocols, so its common header
//! and one chunk are handled here.

/// Packets to bytes.
mod build;
/// Bytes to packets.
mod read;

pub(crate) use build::{Macs, later, opening};
pub(crate) use read::{Parsed, read};

use crate::model::Protocol;
use crc::{CRC_32_ISCSI, Crc};
use std::net::SocketAddr;
use std::ops::Range;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) protocol: Protocol,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
}

/// Where the checksum is in an SCTP packet (RFC 9260 section 3.1).
const SCTP_SUM: Range<usize> = 8..12;

/// The checksum of an SCTP packet in which that of its header is zero (RFC 9260 appendix A).
fn sctp_sum(packet: &[u8]) -> [u8; 4] {
    const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    CRC32C.checksum(packet).to_le_bytes()
}

#[cfg(test)]
mod tests;
