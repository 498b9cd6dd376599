//! What a frame is, read strictly by etherparse: where its headers are, whether a length in it lies,
//! whether its checksums are right.
//!
//! This is the peer of the programs' own parser, so it shares no code with it.

use etherparse::err::ipv6_exts::HeaderError::HopByHopNotAtStart;
use etherparse::err::packet::SliceError;
use etherparse::{
    IpPayloadSlice, Ipv6ExtensionSlice, NetSlice, SlicedPacket, TcpSlice, UdpHeaderSlice, ip_number,
};
use std::ops::Range;

/// The protocol number of SCTP, of which etherparse has the number only.
pub(super) const SCTP: u8 = 132;
/// Of TCP.
pub(super) const TCP: u8 = 6;
/// Of UDP.
pub(super) const UDP: u8 = 17;

/// What a frame is.
#[derive(Clone, Debug)]
pub(super) enum Reading {
    /// No IP packet.
    Other,
    /// An IP packet that no host sends, but not for its lengths: nothing is said about it.
    Odd,
    /// It is cut, or one of its lengths lies.
    Lying(String),
    /// An IP packet.
    Read(Parts),
}

/// Which part of a datagram an IP packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment {
    /// All of it.
    Whole,
    /// The first of several.
    First,
    /// One of the others.
    Later,
}

/// Where the parts of an IP packet are in its frame, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The IP header.
    pub(super) l3: usize,
    /// Behind it and its extension headers.
    pub(super) l4: Range<usize>,
    /// Whether it is IPv6.
    pub(super) v6: bool,
    /// The protocol of what is there.
    pub(super) proto: u8,
    /// Which part of its datagram it is.
    pub(super) fragment: Fragment,
}

impl Reading {
    /// Reads a frame.
    pub(super) fn of(frame: &[u8]) -> Self {
        match SlicedPacket::from_ethernet(frame) {
            // RFC 8200 section 4.1 wants it there.
            Err(SliceError::Ipv6Exts(HopByHopNotAtStart)) => Self::Odd,
            Err(error) => Self::Lying(error.to_string()),
            Ok(packet) => packet.net.map_or(Self::Other, |net| Self::net(frame, &net)),
        }
    }

    fn net(frame: &[u8], net: &NetSlice<'_>) -> Self {
        let (header, payload, offset) = match net {
            NetSlice::Ipv4(ip) => {
                (ip.header().slice(), ip.payload(), ip.header().fragments_offset().value())
            }
            NetSlice::Ipv6(ip) => {
                let offset = ip.extensions().clone().into_iter().find_map(offset_in);
                (ip.header().slice(), ip.payload(), offset.unwrap_or(0))
            }
            NetSlice::Arp(_) => return Self::Other,
        };
        let fragment = match (payload.fragmented, offset) {
            (false, _) => Fragment::Whole,
            (true, 0) => Fragment::First,
            (true, _) => Fragment::Later,
        };
        if fragment != Fragment::Later && is_cut(payload) {
            return Self::Lying("the transport header is cut".to_owned());
        }
        let at = place(frame, payload.payload);
        Self::Read(Parts {
            l3: place(frame, header),
            l4: at..at + payload.payload.len(),
            v6: matches!(net, NetSlice::Ipv6(_)),
            proto: payload.ip_number.0,
            fragment,
        })
    }
}

/// The offset in an IPv6 fragment header.
fn offset_in(extension: Ipv6ExtensionSlice<'_>) -> Option<u16> {
    let Ipv6ExtensionSlice::Fragment(header) = extension else { return None };
    header.is_fragmenting_payload().then(|| header.fragment_offset().value())
}

/// Where a part of a frame begins in it.
fn place(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - frame.as_ptr() as usize
}

/// What etherparse does not look at: SCTP, and the transport header of a first fragment.
fn is_cut(payload: &IpPayloadSlice<'_>) -> bool {
    match payload.ip_number {
        ip_number::TCP => TcpSlice::from_slice(payload.payload).is_err(),
        ip_number::UDP => UdpHeaderSlice::from_slice(payload.payload).is_err(),
        ip_number::SCTP => payload.payload.len() < 12,
        _ => false,
    }
}

impl Parts {
    /// The same in a frame that has `less` bytes less in front.
    pub(super) fn moved(&self, less: usize) -> Self {
        let l4 = self.l4.start - less..self.l4.end - less;
        Self { l3: self.l3 - less, l4, ..self.clone() }
    }

    /// Whether it is a TCP, UDP or SCTP packet with its ports.
    pub(super) fn has_ports(&self) -> bool {
        self.fragment != Fragment::Later && matches!(self.proto, TCP | UDP | SCTP)
    }

    /// Whether it is an ICMP message of its family, whole.
    pub(super) fn is_icmp(&self) -> bool {
        self.fragment == Fragment::Whole && self.proto == if self.v6 { 58 } else { 1 }
    }

    /// Where its addresses are.
    pub(super) fn addresses(&self) -> Range<usize> {
        if self.v6 { self.l3 + 8..self.l3 + 40 } else { self.l3 + 12..self.l3 + 20 }
    }

    /// Where the checksum of its transport header is.
    pub(super) fn checksum(&self) -> Range<usize> {
        let (offset, len) = match self.proto {
            TCP => (16, 2),
            UDP => (6, 2),
            SCTP => (8, 4),
            _ => (2, 2),
        };
        self.l4.start + offset..self.l4.start + offset + len
    }

    /// Whether every checksum is right that can be told from this packet alone.
    pub(super) fn is_sound(&self, frame: &[u8]) -> bool {
        let header = self.v6 || sum(&frame[self.l3..self.l3 + ihl(frame, self.l3)]) == 0xffff;
        header && (self.fragment != Fragment::Whole || self.is_transport_sound(frame))
    }

    fn is_transport_sound(&self, frame: &[u8]) -> bool {
        let l4 = &frame[self.l4.clone()];
        match self.proto {
            TCP => self.sum(frame, l4) == 0xffff,
            UDP if l4[6..8] == [0, 0] => !self.v6,
            UDP => self.sum(frame, datagram(l4)) == 0xffff,
            SCTP => l4[8..12] == [0; 4] || l4[8..12] == crc32c(l4),
            1 if !self.v6 => sum(l4) == 0xffff,
            58 if self.v6 => self.sum(frame, l4) == 0xffff,
            _ => true,
        }
    }

    /// The sum of `l4` with the pseudo-header (RFC 9293 section 3.1, RFC 8200 section 8.1).
    pub(super) fn sum(&self, frame: &[u8], l4: &[u8]) -> u16 {
        let mut bytes = frame[self.addresses()].to_vec();
        bytes.extend(u32::try_from(l4.len()).unwrap().to_be_bytes());
        bytes.extend([0, 0, 0, self.proto]);
        bytes.extend(l4);
        sum(&bytes)
    }
}

/// A datagram without what follows it in the IP packet; length 0 stands for all.
fn datagram(l4: &[u8]) -> &[u8] {
    let len = usize::from(u16::from_be_bytes([l4[4], l4[5]]));
    if len == 0 { l4 } else { &l4[..len] }
}

/// The length of an IPv4 header.
fn ihl(frame: &[u8], l3: usize) -> usize {
    usize::from(frame[l3] & 15) * 4
}

/// The sum of RFC 1071, not complemented; 0xffff over something whose checksum is right.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// The checksum of an SCTP packet as it travels (RFC 9260 appendix A), bit by bit.
pub(super) fn crc32c(l4: &[u8]) -> [u8; 4] {
    let zeroed =
        l4.iter().enumerate().map(|(at, byte)| if (8..12).contains(&at) { 0 } else { *byte });
    let crc = zeroed.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    });
    (!crc).to_le_bytes()
}
