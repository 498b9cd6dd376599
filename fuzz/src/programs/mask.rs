//! A packet without what a translation may change: hardware addresses, hops, addresses, ports and
//! checksums; in an ICMP error also those of the packet that it quotes.

use super::strict::{Parts, SCTP, TCP, UDP};
use etherparse::{LaxNetSlice, LaxSlicedPacket};
use std::ops::Range;

/// The bytes of `frame`, those that may change being zero.
pub(super) fn masked(frame: &[u8], parts: &Parts) -> Vec<u8> {
    let mut places = ip(parts.l3, parts.v6);
    places.push(0..12);
    if parts.has_ports() {
        places.extend(transport(parts.l4.start, parts.proto));
    }
    if parts.is_icmp() && is_error(frame[parts.l4.start], parts.v6) {
        places.push(parts.checksum());
        places.extend(quoted(frame, parts));
    }
    let mut bytes = frame.to_vec();
    for place in places {
        // A quoted packet may end anywhere.
        let end = place.end.min(parts.l4.end);
        bytes[place.start.min(end)..end].fill(0);
    }
    bytes
}

/// Hops, checksum and addresses of an IP header.
fn ip(l3: usize, v6: bool) -> Vec<Range<usize>> {
    let offsets = if v6 { vec![7..8, 8..40] } else { vec![8..9, 10..12, 12..20] };
    offsets.into_iter().map(|offset| l3 + offset.start..l3 + offset.end).collect()
}

/// Ports and checksum of a transport header.
fn transport(l4: usize, proto: u8) -> Vec<Range<usize>> {
    let checksum = match proto {
        TCP => 16..18,
        UDP => 6..8,
        SCTP => 8..12,
        _ => return Vec::new(),
    };
    vec![l4..l4 + 4, l4 + checksum.start..l4 + checksum.end]
}

/// Whether an ICMP message quotes a packet (RFC 792; RFC 4443 section 2.1).
fn is_error(kind: u8, v6: bool) -> bool {
    if v6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) }
}

/// The same places in the packet that an error quotes.
fn quoted(frame: &[u8], parts: &Parts) -> Vec<Range<usize>> {
    let l3 = parts.l4.start + 8;
    let quote = frame.get(l3..parts.l4.end).unwrap_or_default();
    let Ok(packet) = LaxSlicedPacket::from_ip(quote) else { return Vec::new() };
    let payload = match packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => ip.payload().clone(),
        Some(LaxNetSlice::Ipv6(ip)) => ip.payload().clone(),
        Some(LaxNetSlice::Arp(_)) | None => return Vec::new(),
    };
    let l4 = l3 + (payload.payload.as_ptr() as usize - quote.as_ptr() as usize);
    [ip(l3, parts.v6), transport(l4, payload.ip_number.0)].concat()
}
