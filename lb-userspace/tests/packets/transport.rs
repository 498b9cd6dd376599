//! Transport headers: those that etherparse knows, and SCTP's.

use etherparse::{
    Icmpv4Header, Icmpv6Header, IpHeaders, PacketBuilderStep, PayloadSlice, TcpHeader,
    TransportHeader, UdpHeader, err::packet::BuildWriteError, ip_number,
};
use lb_common::wire::IpProto;
use std::ops::Range;

/// The transport header of a frame. Lengths and checksums in it mean nothing: they follow from the
/// rest of the frame.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Tcp(TcpHeader),
    Udp(UdpHeader),
    Sctp(SctpHeader),
    Icmpv4(Icmpv4Header),
    Icmpv6(Icmpv6Header),
}

impl Transport {
    /// What etherparse read, or the SCTP header in what it left; and what is behind it.
    pub(crate) fn read(read: Option<TransportHeader>, rest: &PayloadSlice<'_>) -> (Self, Vec<u8>) {
        let transport = match (read, rest) {
            (Some(TransportHeader::Tcp(tcp)), _) => Self::Tcp(tcp),
            (Some(TransportHeader::Udp(udp)), _) => Self::Udp(udp),
            (Some(TransportHeader::Icmpv4(icmp)), _) => Self::Icmpv4(icmp),
            (Some(TransportHeader::Icmpv6(icmp)), _) => Self::Icmpv6(icmp),
            (None, PayloadSlice::Ip(ip)) if ip.ip_number == ip_number::SCTP => {
                let (header, chunks) = SctpHeader::read(ip.payload);
                return (Self::Sctp(header), chunks.to_vec());
            }
            (read, rest) => panic!("no scene has {read:?} and {rest:?}"),
        };
        (transport, rest.slice().to_vec())
    }

    /// Writes the packet that has this header behind those of `step`.
    pub(crate) fn write(
        &self,
        step: PacketBuilderStep<IpHeaders>,
        payload: &[u8],
    ) -> Result<Vec<u8>, BuildWriteError> {
        let mut bytes = Vec::new();
        match self {
            Self::Tcp(tcp) => step.tcp_header(tcp.clone()).write(&mut bytes, payload),
            Self::Udp(udp) => {
                step.udp(udp.source_port, udp.destination_port).write(&mut bytes, payload)
            }
            Self::Sctp(sctp) => step.write(&mut bytes, ip_number::SCTP, &sctp.bytes(payload)),
            Self::Icmpv4(icmp) => step.icmpv4(icmp.icmp_type.clone()).write(&mut bytes, payload),
            Self::Icmpv6(icmp) => step.icmpv6(icmp.icmp_type).write(&mut bytes, payload),
        }?;
        Ok(bytes)
    }

    pub(crate) fn proto(&self) -> IpProto {
        match self {
            Self::Tcp(_) => IpProto::TCP,
            Self::Udp(_) => IpProto::UDP,
            Self::Sctp(_) => IpProto::SCTP,
            Self::Icmpv4(_) => IpProto::ICMP,
            Self::Icmpv6(_) => IpProto::ICMPV6,
        }
    }

    /// Source and destination; none in ICMP.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
            Self::Udp(udp) => Some((udp.source_port, udp.destination_port)),
            Self::Sctp(sctp) => Some((sctp.src, sctp.dst)),
            Self::Icmpv4(_) | Self::Icmpv6(_) => None,
        }
    }

    /// Replaces them; nothing happens to ICMP.
    pub(crate) fn set_ports(&mut self, src: u16, dst: u16) {
        match self {
            Self::Tcp(tcp) => (tcp.source_port, tcp.destination_port) = (src, dst),
            Self::Udp(udp) => (udp.source_port, udp.destination_port) = (src, dst),
            Self::Sctp(sctp) => (sctp.src, sctp.dst) = (src, dst),
            Self::Icmpv4(_) | Self::Icmpv6(_) => {}
        }
    }

    /// Where the checksum is, of those that may be absent.
    pub(crate) fn optional_check(&self) -> Option<Range<usize>> {
        match self {
            Self::Udp(_) => Some(6..8),
            Self::Sctp(_) => Some(8..12),
            Self::Tcp(_) | Self::Icmpv4(_) | Self::Icmpv6(_) => None,
        }
    }
}

/// The common header of SCTP (RFC 9260 section 3.1); chunks are the payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SctpHeader {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    pub(crate) tag: u32,
}

impl SctpHeader {
    const LEN: usize = 12;

    /// Reads a packet: header, chunks.
    fn read(bytes: &[u8]) -> (Self, &[u8]) {
        let (header, chunks) = bytes.split_at(Self::LEN);
        let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let tag = u32::from(number(4)) << 16 | u32::from(number(6));
        (Self { src: number(0), dst: number(2), tag }, chunks)
    }

    /// The packet, with the checksum that it should have.
    fn bytes(self, chunks: &[u8]) -> Vec<u8> {
        let mut bytes = [self.src.to_be_bytes(), self.dst.to_be_bytes()].concat();
        bytes.extend(self.tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(chunks);
        let check = crc32c(&bytes).to_le_bytes();
        bytes[8..Self::LEN].copy_from_slice(&check);
        bytes
    }
}

/// `CRC32c` by its definition, a bit at a time: polynomial 0x1EDC6F41, bits reflected, register
/// and result inverted (RFC 9260 appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |register: u32, _| (register >> 1) ^ (0x82f6_3b78 * (register & 1));
    let byte = |register: u32, byte: &u8| (0..8).fold(register ^ u32::from(*byte), bit);
    !bytes.iter().fold(u32::MAX, byte)
}

#[test]
fn crc32c_of_nine_digits_is_e3069283() {
    // The check value in every catalogue of CRCs.
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
