//! Datagrams in fragments of our own making, so that they can be sent in any order (RFC 791
//! section 3.2, RFC 8200 section 4.5).

use etherparse::{
    IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6FragmentHeader, Ipv6Header, UdpHeader,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};
use xtask::lab::Host;

/// What a fragment carries: a multiple of eight.
const LEN: usize = 1000;

const HOPS: u8 = 64;

/// Numbers the datagrams of this process.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// The fragments of one datagram, in order.
pub(crate) fn fragments(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<Vec<u8>> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => v4(from, to, number, payload),
        (SocketAddr::V6(from), SocketAddr::V6(to)) => v6(from, to, number, payload),
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// Sends whole packets from a host, by its routes.
pub(crate) fn send(host: &Host, to: SocketAddr, packets: impl IntoIterator<Item = Vec<u8>>) {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, protocol) = (SockType::Raw, SockProtocol::Raw);
    let socket = host.within(|| Ok(socket(family, kind, SockFlag::empty(), protocol)?)).unwrap();
    // A port means a protocol here.
    let to = SockaddrStorage::from(SocketAddr::new(to.ip(), 0));
    for packet in packets {
        let sent = sendto(socket.as_raw_fd(), &packet, &to, MsgFlags::empty()).unwrap();
        assert_eq!(sent, packet.len());
    }
}

fn v4(from: SocketAddrV4, to: SocketAddrV4, number: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let header = |len: usize| {
        let [src, dst] = [from, to].map(|end| end.ip().octets());
        Ipv4Header::new(u16::try_from(len).unwrap(), HOPS, IpNumber::UDP, src, dst).unwrap()
    };
    let whole = header(UdpHeader::LEN + payload.len());
    let udp = UdpHeader::with_ipv4_checksum(from.port(), to.port(), &whole, payload).unwrap();
    cut(&udp, payload, |offset, more, part| {
        let mut ip = header(part.len());
        (ip.identification, ip.dont_fragment) = (number, false);
        (ip.fragment_offset, ip.more_fragments) = (offset, more);
        ip.header_checksum = ip.calc_header_checksum();
        [&ip.to_bytes(), part].concat()
    })
}

fn v6(from: SocketAddrV6, to: SocketAddrV6, number: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let header = |len: usize| Ipv6Header {
        traffic_class: 0,
        flow_label: Ipv6FlowLabel::ZERO,
        payload_length: u16::try_from(len).unwrap(),
        next_header: IpNumber::IPV6_FRAGMENTATION_HEADER,
        hop_limit: HOPS,
        source: from.ip().octets(),
        destination: to.ip().octets(),
    };
    let whole = header(UdpHeader::LEN + payload.len());
    let udp = UdpHeader::with_ipv6_checksum(from.port(), to.port(), &whole, payload).unwrap();
    cut(&udp, payload, |offset, more, part| {
        let next = Ipv6FragmentHeader::new(IpNumber::UDP, offset, more, number.into());
        [&header(Ipv6FragmentHeader::LEN + part.len()).to_bytes(), &next.to_bytes()[..], part]
            .concat()
    })
}

/// Cuts a datagram; `packet` makes one of a place, whether more follows, and the bytes.
fn cut(
    udp: &UdpHeader,
    payload: &[u8],
    packet: impl Fn(IpFragOffset, bool, &[u8]) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    let bytes = [&udp.to_bytes(), payload].concat();
    let last = bytes.len().div_ceil(LEN) - 1;
    let parts = bytes.chunks(LEN).enumerate().map(|(number, part)| {
        let place = u16::try_from(number * LEN / 8).unwrap();
        packet(place.try_into().unwrap(), number < last, part)
    });
    parts.collect()
}
