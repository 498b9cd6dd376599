//! What clients send.

use super::{Ends, SCTP_SUM, sctp_sum};
use crate::model::Protocol;
use anyhow::{Result, bail};
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder,
    TcpHeader,
};
use std::net::IpAddr;

/// The first sequence number of a client.
const SEQ: u32 = 1_000_000;
const WINDOW: u16 = 64_240;
const HOPS: u8 = 64;
/// What datagrams carry.
const PAYLOAD: &[u8] = b"lbctl";
/// RFC 9260 section 3.3.2: INIT with its tag, window, streams and first number.
const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
/// RFC 9260 section 3.3.1: DATA, a whole message of four bytes.
const DATA: [u8; 20] = [0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'p', b'i', b'n', b'g'];

/// Hardware addresses: of the sender, of the node's link.
pub(crate) type Macs = ([u8; 6], [u8; 6]);

/// The first packet of a connection: SYN, a datagram, INIT.
///
/// # Errors
/// The ends are of two address families.
pub(crate) fn opening(ends: &Ends, macs: Macs) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(ends.src.port(), ends.dst.port(), SEQ, WINDOW);
    tcp.syn = true;
    build(ends, macs, tcp, (0, &INIT))
}

/// A later packet of it: a segment, a datagram, DATA.
///
/// # Errors
/// The same.
pub(crate) fn later(ends: &Ends, macs: Macs) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(ends.src.port(), ends.dst.port(), SEQ + 1, WINDOW);
    (tcp.ack, tcp.psh, tcp.acknowledgment_number) = (true, true, 1);
    build(ends, macs, tcp, (1, &DATA))
}

/// A packet of the protocol of `ends`: with this TCP header, or with this verification tag and
/// chunk of SCTP.
fn build(ends: &Ends, macs: Macs, tcp: TcpHeader, sctp: (u32, &[u8])) -> Result<Vec<u8>> {
    let step = PacketBuilder::ethernet2(macs.0, macs.1).ip(headers(ends)?);
    let mut bytes = Vec::new();
    match ends.protocol {
        Protocol::Tcp => step.tcp_header(tcp).write(&mut bytes, &[])?,
        Protocol::Udp => step.udp(ends.src.port(), ends.dst.port()).write(&mut bytes, PAYLOAD)?,
        Protocol::Sctp => step.write(&mut bytes, IpNumber::SCTP, &sctp_packet(ends, sctp))?,
    }
    Ok(bytes)
}

fn headers(ends: &Ends) -> Result<IpHeaders> {
    Ok(match (ends.src.ip(), ends.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ip = Ipv4Header::new(0, HOPS, IpNumber::TCP, src.octets(), dst.octets())?;
            IpHeaders::Ipv4(ip, Ipv4Extensions::default())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (source, destination) = (src.octets(), dst.octets());
            let ip = Ipv6Header { hop_limit: HOPS, source, destination, ..Ipv6Header::default() };
            IpHeaders::Ipv6(ip, Ipv6Extensions::default())
        }
        (src, dst) => bail!("{src} and {dst} are of two address families"),
    })
}

/// RFC 9260 section 3: the common header and one chunk.
fn sctp_packet(ends: &Ends, (tag, chunk): (u32, &[u8])) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SCTP_SUM.end + chunk.len());
    packet.extend(ends.src.port().to_be_bytes());
    packet.extend(ends.dst.port().to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunk);
    let sum = sctp_sum(&packet);
    if let Some(field) = packet.get_mut(SCTP_SUM) {
        field.copy_from_slice(&sum);
    }
    packet
}
