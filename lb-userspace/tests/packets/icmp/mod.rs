//! ICMP errors about translated packets: what they quote, and whom they go to, become what the
//! receiver knows.

/// Errors about what a client sent, where its source was kept.
mod kept;
/// The same where its source was replaced.
mod replaced;
/// Errors about what a client was answered.
mod answers;
/// What may be quoted.
mod quotes;
/// Messages that are no such errors.
mod others;

use crate::case::Case;
use crate::frame::{Frame, L3};
use crate::transport::Transport;
use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use lb_common::wire::IpProto;
use std::net::{IpAddr, SocketAddr};

/// Type, code, and the four bytes behind the checksum.
pub(super) type Kind = (u8, u8, [u8; 4]);

/// Every type that is an error (RFC 792, RFC 1191, RFC 4443), with several codes.
pub(super) fn kinds(v6: bool) -> &'static [Kind] {
    if v6 {
        &[
            (1, 0, [0; 4]),
            (1, 3, [0; 4]),
            (1, 4, [0; 4]),
            (2, 0, [0, 0, 5, 0]),
            (2, 0, [0, 1, 2, 3]),
            (3, 0, [0; 4]),
            (3, 1, [0; 4]),
            (4, 0, [0, 0, 0, 6]),
            (4, 1, [0, 0, 0, 40]),
        ]
    } else {
        &[
            (3, 0, [0; 4]),
            (3, 1, [0; 4]),
            (3, 3, [0; 4]),
            (3, 4, [0, 0, 5, 0]),
            (3, 4, [0, 0, 2, 64]),
            (3, 13, [0; 4]),
            // With the length of what is quoted, in words (RFC 4884 section 4.1).
            (11, 0, [0, 32, 0, 0]),
            (11, 1, [0; 4]),
            (12, 0, [20, 0, 0, 0]),
            (12, 2, [0; 4]),
        ]
    }
}

/// Whatever the family calls "too big for 1,280 bytes".
pub(super) fn too_big(v6: bool) -> Kind {
    if v6 { (2, 0, [0, 0, 5, 0]) } else { (3, 4, [0, 0, 5, 0]) }
}

/// A message.
pub(super) fn message(from: IpAddr, to: IpAddr, kind: Kind, quote: &[u8]) -> Frame {
    let (type_u8, code_u8, bytes5to8) = kind;
    let transport = if from.is_ipv6() {
        let kind = Icmpv6Type::Unknown { type_u8, code_u8, bytes5to8 };
        Transport::Icmpv6(Icmpv6Header::new(kind))
    } else {
        let kind = Icmpv4Type::Unknown { type_u8, code_u8, bytes5to8 };
        Transport::Icmpv4(Icmpv4Header::new(kind))
    };
    Frame::new(SocketAddr::new(from, 0), SocketAddr::new(to, 0), transport, quote.to_vec())
}

/// What a message quotes of a packet that has a few hops less by then: so much of it.
pub(super) fn quote(frame: &Frame, len: usize) -> Vec<u8> {
    frame.hops(7).bytes()[L3..][..len].to_vec()
}

/// Lengths of quotes: from the IP header and 8 bytes to all of it.
pub(super) fn lengths(frame: &Frame) -> Vec<usize> {
    let (ip, all) = (frame.l4() - L3, frame.bytes().len() - L3);
    let around_checksums = [8, 9, 11, 12, 13, 16, 17, 18, 19, 20, 33].map(|n| ip + n);
    around_checksums.into_iter().filter(|len| *len < all).chain([all]).collect()
}

/// A quote whose checksum stays as it is in another one, where nobody could change it: the CRC of
/// SCTP covers bytes that are not quoted, and half a TCP checksum is none. Nobody looks at them
/// (RFC 9260 section 10, RFC 5927 section 4).
pub(super) fn with_check_of(mut quote: Vec<u8>, other: &[u8], case: Case) -> Vec<u8> {
    let ip = if case.v6 { 40 } else { 20 };
    let stays = match case.proto {
        IpProto::SCTP => ip + 8..ip + 12,
        IpProto::TCP if quote.len() == ip + 17 => ip + 16..ip + 17,
        _ => return quote,
    };
    let stays = stays.start.min(quote.len())..stays.end.min(quote.len());
    quote[stays.clone()].copy_from_slice(&other[stays]);
    quote
}
