//! TCP (RFC 9293 section 3.1).

use super::Port;
use bytemuck::{Pod, Zeroable};

/// The fixed part of a TCP header; options may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(2))]
pub struct Tcp {
    /// Source port.
    pub src: Port,
    /// Destination port.
    pub dst: Port,
    /// Sequence number, network order.
    pub seq: [u8; 4],
    /// Acknowledgement number, network order; valid when [`Tcp::ACK`] is set.
    pub ack: [u8; 4],
    /// Header length in 32-bit words (high half), reserved bits.
    pub data_offset: u8,
    /// Control bits: [`Tcp::FIN`] and its kin.
    pub flags: u8,
    /// Receive window, network order.
    pub window: [u8; 2],
    /// Checksum over pseudo-header, header and payload.
    pub check: [u8; 2],
    /// Urgent pointer, network order.
    pub urgent: [u8; 2],
}

impl Tcp {
    /// Length of the fixed part in bytes.
    pub const LEN: usize = 20;
    /// Where the checksum lies in the header.
    pub const CHECK_OFFSET: usize = 16;
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers: opens a connection.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number is valid.
    pub const ACK: u8 = 0x10;

    /// Header length with options in bytes as the header claims, 0 to 60.
    #[inline(always)]
    pub const fn header_len(&self) -> usize {
        ((self.data_offset >> 4) as usize) << 2
    }
}

const _: () = assert!(size_of::<Tcp>() == Tcp::LEN);
