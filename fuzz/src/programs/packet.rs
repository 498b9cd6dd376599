//! Valid packets: of every protocol, between everybody who is there, and what can be done to them
//! that leaves them valid.

use super::network::{node, on_uplink};
use super::strict::{Fragment, Parts, Reading, SCTP, TCP, UDP, crc32c, sum};
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder,
};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// The protocols that Services have.
pub(super) const PROTOCOLS: [u8; 3] = [TCP, UDP, SCTP];
/// Of TCP: a connection opens, goes on, ends, breaks off.
pub(super) const FLAGS: [u8; 6] = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04];
/// Of SCTP: INIT, INIT ACK, DATA, ABORT, SHUTDOWN COMPLETE.
const CHUNKS: [u8; 6] = [1, 2, 0, 0, 6, 14];
/// Hops that a packet has left.
const HOPS: u8 = 61;

/// Everybody who is there, in a family; `services.yaml` has the Services.
pub(super) struct Family(pub(super) bool);

impl Family {
    /// The family of an IP packet.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let Reading::Read(parts) = Reading::of(frame) else { return None };
        Some(Self(parts.v6))
    }

    fn parsed(&self, v4: &str, v6: &str) -> IpAddr {
        if self.0 { v6.parse().unwrap() } else { v4.parse().unwrap() }
    }

    /// The pod that asks, and is its own endpoint of the Service `self`.
    pub(super) fn pod(&self) -> IpAddr {
        self.parsed("10.244.0.10", "fd00:244::10")
    }

    /// The endpoint of the Service `one`.
    pub(super) fn backend(&self) -> IpAddr {
        self.parsed("10.244.0.101", "fd00:244::101")
    }

    /// A host on the uplink: `n` to 5 are resolved, 1 is an endpoint.
    pub(super) fn host(&self, n: u8) -> IpAddr {
        on_uplink(self.0, n)
    }

    /// The node.
    pub(super) fn node(&self) -> IpAddr {
        node(self.0)
    }

    /// The `ClusterIP` of the `n`-th Service.
    pub(super) fn vip(&self, n: u8) -> IpAddr {
        self.parsed(&format!("10.96.0.{n}"), &format!("fd00:96::{n}"))
    }

    /// The load balancer's address of the `n`-th Service.
    pub(super) fn balanced(&self, n: u8) -> IpAddr {
        self.parsed(&format!("203.0.113.{n}"), &format!("2001:db8:113::{n}"))
    }

    /// Somebody far away.
    pub(super) fn stranger(&self) -> IpAddr {
        self.parsed("198.18.0.7", "2001:db8:18::7")
    }

    /// Whoever may ask or answer.
    pub(super) fn hosts(&self) -> Vec<SocketAddr> {
        let clients = [self.pod(), self.host(5), self.host(77), self.stranger(), self.node()];
        let backends = [self.backend(), self.host(1), self.parsed("10.244.0.102", "fd00:244::102")];
        let clients = clients.into_iter().flat_map(|ip| [(ip, 20_000), (ip, 40_000)]);
        clients.chain(backends.map(|ip| (ip, 8080))).map(SocketAddr::from).collect()
    }

    /// Whoever may be asked.
    pub(super) fn services(&self) -> Vec<SocketAddr> {
        let vips = (1..=7).map(|n| (self.vip(n), 80));
        let external = self.parsed("198.51.100.3", "2001:db8:51::3");
        let outside = [
            (external, 80),
            (self.balanced(3), 80),
            (self.balanced(5), 80),
            (self.node(), 30_080),
            (self.node(), 30_085),
            (self.vip(1), 81),
        ];
        vips.chain(outside).map(SocketAddr::from).collect()
    }
}

/// A packet of a flow. `flags`: of TCP, in SCTP what comes closest to them.
pub(super) fn packet(proto: u8, src: SocketAddr, dst: SocketAddr, flags: u8) -> Vec<u8> {
    let mut l4 = [src.port().to_be_bytes(), dst.port().to_be_bytes()].concat();
    match proto {
        TCP => l4.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0]),
        UDP => l4.extend([0; 4]),
        _ => {
            let chunk = FLAGS.iter().position(|known| *known == flags).unwrap_or(2);
            l4.extend([1, 2, 3, 4, 0, 0, 0, 0, CHUNKS[chunk], 3, 0, 20]);
        }
    }
    l4.extend(b"of an odd length, as it is!");
    ip(proto, src.ip(), dst.ip(), &l4)
}

/// An echo request.
pub(super) fn echo(src: IpAddr, dst: IpAddr) -> Vec<u8> {
    let (proto, kind) = if src.is_ipv6() { (58, 128) } else { (1, 8) };
    ip(proto, src, dst, &[kind, 0, 0, 0, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'])
}

/// An ICMP error of `from` about a frame: it goes to whoever sent that, and quotes `len` bytes.
pub(super) fn error(from: IpAddr, frame: &[u8], kind: u8, len: usize) -> Option<Vec<u8>> {
    let Reading::Read(parts) = Reading::of(frame) else { return None };
    let (src, _) = ends(frame, &parts);
    let quote = &frame[parts.l3..parts.l4.end.min(parts.l3 + len)];
    let icmp = [&[kind, 0, 0, 0, 0, 0, 5, 0][..], quote].concat();
    Some(ip(if parts.v6 { 58 } else { 1 }, from, src, &icmp))
}

/// Puts Ethernet and IP in front of `l4`.
fn ip(proto: u8, src: IpAddr, dst: IpAddr, l4: &[u8]) -> Vec<u8> {
    let headers = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut ip =
                Ipv4Header::new(0, HOPS, IpNumber(proto), src.octets(), dst.octets()).unwrap();
            ip.identification = 0xbeef;
            IpHeaders::Ipv4(ip, Ipv4Extensions::default())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (source, destination) = (src.octets(), dst.octets());
            let ip = Ipv6Header { hop_limit: HOPS, source, destination, ..Ipv6Header::default() };
            IpHeaders::Ipv6(ip, Ipv6Extensions::default())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            panic!("{src} and {dst} are of two families")
        }
    };
    let step = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ip(headers);
    let mut frame = Vec::new();
    step.write(&mut frame, IpNumber(proto), l4).unwrap();
    repair(&mut frame);
    frame
}

/// Source and destination.
fn ends(frame: &[u8], parts: &Parts) -> (IpAddr, IpAddr) {
    let addresses = &frame[parts.addresses()];
    let (src, dst) = addresses.split_at(addresses.len() / 2);
    let address = |bytes: &[u8]| match <[u8; 4]>::try_from(bytes) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).unwrap()),
    };
    (address(src), address(dst))
}

/// Makes a frame the answer to itself: everything has changed sides.
pub(super) fn turn(frame: &mut [u8]) {
    let Reading::Read(parts) = Reading::of(frame) else { return };
    let half = parts.addresses().len() / 2;
    frame[..12].rotate_left(6);
    frame[parts.addresses()].rotate_left(half);
    if parts.has_ports() {
        frame[parts.l4.start..parts.l4.start + 4].rotate_left(2);
    }
}

/// Puts a VLAN tag into a frame.
pub(super) fn tag(frame: &mut Vec<u8>, service: bool) {
    if frame.len() >= 14 {
        let ethertype = if service { [0x88, 0xa8] } else { [0x81, 0x00] };
        frame.splice(12..12, [ethertype, [0, 42]].concat());
    }
}

/// Puts an IPv4 option, or an IPv6 extension header of `kind`, behind the IP header.
pub(super) fn extend(frame: &mut Vec<u8>, kind: u8) {
    let Reading::Read(parts) = Reading::of(frame) else { return };
    let l3 = parts.l3;
    if parts.v6 {
        let header = extension(kind, frame[l3 + 6]);
        frame.splice(l3 + 40..l3 + 40, header);
        frame[l3 + 6] = kind;
    } else if frame[l3] & 15 < 15 {
        frame.splice(l3 + 20..l3 + 20, [1, 1, 1, 1]);
        frame[l3] += 1;
    }
    claim_all(frame, l3);
    repair(frame);
}

/// An extension header in front of `next`: authentication, an atomic fragment, a route that has
/// been travelled, or one with options that say nothing.
fn extension(kind: u8, next: u8) -> Vec<u8> {
    match kind {
        51 => vec![next, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        44 => vec![next, 0, 0, 0, 1, 2, 3, 4],
        // With segments to go it would be for somebody else (RFC 8200 section 4.4).
        43 => vec![next, 0, 253, 0, 0, 0, 0, 0],
        _ => vec![next, 0, 1, 4, 0, 0, 0, 0],
    }
}

/// What makes a packet a fragment.
struct Piece {
    /// Where in its datagram, in words of 8 bytes.
    offset: u16,
    /// Whether others follow.
    more: bool,
    /// The identification of the datagram.
    id: u8,
}

/// Cuts a packet into two fragments behind `words` times 8 bytes; `None`: that cannot be done.
pub(super) fn fragments(frame: &[u8], words: u16, id: u8) -> Option<[Vec<u8>; 2]> {
    let Reading::Read(parts) = Reading::of(frame) else { return None };
    let l4 = parts.l4.clone();
    let cut = l4.start + usize::from(words) * 8;
    // A fragment header goes behind some extension headers and in front of others.
    let is_plain = !parts.v6 || l4.start == parts.l3 + 40;
    if parts.fragment != Fragment::Whole || words == 0 || cut >= l4.end || !is_plain {
        return None;
    }
    let first = Piece { offset: 0, more: true, id };
    let last = Piece { offset: words, more: false, id };
    let fragment = |bytes, piece| fragment(&frame[..l4.start], &parts, bytes, &piece);
    Some([fragment(&frame[l4.start..cut], first), fragment(&frame[cut..l4.end], last)])
}

/// The fragment with these bytes of a packet that begins with `front`.
fn fragment(front: &[u8], parts: &Parts, bytes: &[u8], piece: &Piece) -> Vec<u8> {
    let mut frame = front.to_vec();
    let &Piece { offset, more, id } = piece;
    let l3 = parts.l3;
    if parts.v6 {
        let bits = (offset << 3 | u16::from(more)).to_be_bytes();
        frame.extend([parts.proto, 0, bits[0], bits[1], 0, 0, 0, id]);
        frame[l3 + 6] = 44;
    } else {
        let bits = (offset | u16::from(more) << 13).to_be_bytes();
        frame[l3 + 4..l3 + 8].copy_from_slice(&[0, id, bits[0], bits[1]]);
    }
    frame.extend(bytes);
    claim_all(&mut frame, l3);
    repair(&mut frame);
    frame
}

/// Makes the checksums of a packet right, and the length of a datagram.
pub(super) fn repair(frame: &mut [u8]) {
    if let Reading::Lying(_) = Reading::of(frame) {
        claim_all(frame, behind_tags(frame));
    }
    let Reading::Read(parts) = Reading::of(frame) else { return };
    if !parts.v6 {
        let header = parts.l3..parts.l3 + usize::from(frame[parts.l3] & 15) * 4;
        put_sum(frame, parts.l3 + 10..parts.l3 + 12, |frame| sum(&frame[header]));
    }
    if parts.fragment != Fragment::Whole {
        return;
    }
    let (at, l4) = (parts.checksum(), parts.l4.clone());
    match parts.proto {
        SCTP => {
            let crc = crc32c(&frame[l4]);
            frame[at].copy_from_slice(&crc);
        }
        UDP => {
            let len = u16::try_from(l4.len()).unwrap_or(0);
            frame[l4.start + 4..l4.start + 6].copy_from_slice(&len.to_be_bytes());
            put_sum(frame, at, |frame| parts.sum(frame, &frame[l4]));
        }
        TCP | 58 => put_sum(frame, at, |frame| parts.sum(frame, &frame[l4])),
        1 => put_sum(frame, at, |frame| sum(&frame[l4])),
        _ => {}
    }
}

/// Writes the checksum that makes `sum` right.
fn put_sum(frame: &mut [u8], at: Range<usize>, covered: impl FnOnce(&[u8]) -> u16) {
    frame[at.clone()].fill(0);
    let check = (!covered(frame)).to_be_bytes();
    frame[at].copy_from_slice(&check);
}

/// Makes the IP header at `l3` claim all that follows it.
fn claim_all(frame: &mut [u8], l3: usize) {
    let there = frame.len().saturating_sub(l3);
    let (at, claim) = match frame.get(l3).map(|byte| byte >> 4) {
        Some(4) if there >= 20 => (l3 + 2, there),
        Some(6) if there >= 40 => (l3 + 4, there - 40),
        _ => return,
    };
    let claim = u16::try_from(claim).unwrap_or(u16::MAX);
    frame[at..at + 2].copy_from_slice(&claim.to_be_bytes());
}

/// Where the IP header of a frame begins.
fn behind_tags(frame: &[u8]) -> usize {
    let mut at = 12;
    while let Some([0x81, 0x00] | [0x88, 0xa8]) = frame.get(at..at + 2) {
        at += 4;
    }
    at + 2
}
