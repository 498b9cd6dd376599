//! Packets as bytes: those that clients send, and what became of them.
//!
//! Built and read by etherparse. SCTP (RFC 9260) is not among its protocols, so its common header
//! and one chunk are written here.

use super::scenario::Proto;
use anyhow::{Context as _, Result, bail};
use crc::{CRC_32_ISCSI, Crc};
use etherparse::{
    Ethernet2Header, Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, Ipv4Header, Ipv6Header,
    NetHeaders, PacketBuilder, PacketBuilderStep, PacketHeaders, TcpHeader, TransportHeader,
    icmpv4, icmpv6,
};
use std::net::{IpAddr, SocketAddr};

/// The first sequence number of a client.
const SEQ: u32 = 1_000_000;
const WINDOW: u16 = 64_240;
const HOPS: u8 = 64;
/// What datagrams carry.
const PAYLOAD: &[u8] = b"lbctl simulate";
/// RFC 9260 appendix A.
const CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// RFC 9260 section 3.1: ports, verification tag, checksum.
const SCTP_HEADER: usize = 12;

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) proto: Proto,
    pub(super) src: SocketAddr,
    pub(super) dst: SocketAddr,
}

/// The first packet of a connection.
pub(super) fn opening(ends: &Ends, macs: Macs) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(ends.src.port(), ends.dst.port(), SEQ, WINDOW);
    tcp.syn = true;
    // RFC 9260 section 3.3.2: INIT with its tag, window, streams and first number.
    const INIT: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    build(ends, macs, tcp, (0, &INIT))
}

/// A later packet of it.
pub(super) fn later(ends: &Ends, macs: Macs) -> Result<Vec<u8>> {
    let mut tcp = TcpHeader::new(ends.src.port(), ends.dst.port(), SEQ + 1, WINDOW);
    (tcp.ack, tcp.psh, tcp.acknowledgment_number) = (true, true, 1);
    // RFC 9260 section 3.3.1: DATA, a whole message of four bytes.
    const DATA: [u8; 20] = [0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, b'p', b'i', b'n', b'g'];
    build(ends, macs, tcp, (1, &DATA))
}

/// Hardware addresses: of the sender, of the node's link.
pub(super) type Macs = ([u8; 6], [u8; 6]);

/// A packet of the protocol of `ends`: with this TCP header, or this verification tag and chunk.
fn build(ends: &Ends, macs: Macs, tcp: TcpHeader, sctp: (u32, &[u8])) -> Result<Vec<u8>> {
    let step = PacketBuilder::ethernet2(macs.0, macs.1).ip(headers(ends)?);
    let mut bytes = Vec::new();
    match ends.proto {
        Proto::Tcp => step.tcp_header(tcp).write(&mut bytes, &[])?,
        Proto::Udp => {
            step.udp(ends.src.port(), ends.dst.port()).write(&mut bytes, PAYLOAD)?;
        }
        Proto::Sctp => write_sctp(step, &sctp_packet(ends, sctp), &mut bytes)?,
    }
    Ok(bytes)
}

fn write_sctp(step: PacketBuilderStep<IpHeaders>, packet: &[u8], to: &mut Vec<u8>) -> Result<()> {
    Ok(step.write(to, IpNumber::SCTP, packet)?)
}

fn headers(ends: &Ends) -> Result<IpHeaders> {
    Ok(match (ends.src.ip(), ends.dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let ip = Ipv4Header::new(0, HOPS, IpNumber::TCP, src.octets(), dst.octets())?;
            IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default())
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (source, destination) = (src.octets(), dst.octets());
            let ip = Ipv6Header { hop_limit: HOPS, source, destination, ..Ipv6Header::default() };
            IpHeaders::Ipv6(ip, etherparse::Ipv6Extensions::default())
        }
        (src, dst) => bail!("{src} and {dst} are of two address families"),
    })
}

/// RFC 9260 section 3: the common header and one chunk.
fn sctp_packet(ends: &Ends, (tag, chunk): (u32, &[u8])) -> Vec<u8> {
    let mut packet = Vec::with_capacity(SCTP_HEADER + chunk.len());
    packet.extend(ends.src.port().to_be_bytes());
    packet.extend(ends.dst.port().to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunk);
    let sum = CRC32C.checksum(&packet).to_le_bytes();
    if let Some(field) = packet.get_mut(8..SCTP_HEADER) {
        field.copy_from_slice(&sum);
    }
    packet
}

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// One of the three protocols.
    Data(Ends),
    /// A TCP reset.
    Reset(Ends),
    /// "Port unreachable", to this address about this packet.
    Unreachable(IpAddr, Ends),
}

/// Reads a packet that came out.
///
/// # Errors
/// It is none of those, or a length or checksum of it is wrong.
pub(super) fn read(bytes: &[u8]) -> Result<Parsed> {
    let packet = PacketHeaders::from_ethernet_slice(bytes).context("it is no whole packet")?;
    let (src, dst, is_sctp) = match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => {
            if ip.header_checksum != ip.calc_header_checksum() {
                bail!("its IP checksum is wrong");
            }
            (IpAddr::from(ip.source), IpAddr::from(ip.destination), ip.protocol == IpNumber::SCTP)
        }
        Some(NetHeaders::Ipv6(ip, _)) => {
            (ip.source.into(), ip.destination.into(), ip.next_header == IpNumber::SCTP)
        }
        Some(NetHeaders::Arp(_)) | None => bail!("it is no IP packet"),
    };
    let payload = packet.payload.slice();
    let ends = |proto, (sport, dport)| Ends {
        proto,
        src: SocketAddr::new(src, sport),
        dst: SocketAddr::new(dst, dport),
    };
    check(&packet)?;
    match &packet.transport {
        Some(TransportHeader::Tcp(tcp)) => {
            let ends = ends(Proto::Tcp, (tcp.source_port, tcp.destination_port));
            Ok(if tcp.rst { Parsed::Reset(ends) } else { Parsed::Data(ends) })
        }
        Some(TransportHeader::Udp(udp)) => {
            Ok(Parsed::Data(ends(Proto::Udp, (udp.source_port, udp.destination_port))))
        }
        Some(TransportHeader::Icmpv4(icmp)) => match icmp.icmp_type {
            Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port) => {
                Ok(Parsed::Unreachable(dst, quoted(payload)?))
            }
            ref other => bail!("it is {other:?}"),
        },
        Some(TransportHeader::Icmpv6(icmp)) => match icmp.icmp_type {
            Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port) => {
                Ok(Parsed::Unreachable(dst, quoted(payload)?))
            }
            ref other => bail!("it is {other:?}"),
        },
        None if is_sctp => Ok(Parsed::Data(ends(Proto::Sctp, sctp(payload)?))),
        Some(TransportHeader::Igmp(_)) | None => bail!("it is of no protocol that Services have"),
    }
}

/// Compares the transport's checksum with the one that it should have.
fn check(packet: &PacketHeaders<'_>) -> Result<()> {
    let (Some(net), Some(transport)) = (&packet.net, &packet.transport) else { return Ok(()) };
    let payload = packet.payload.slice();
    let mut right = transport.clone();
    match net {
        NetHeaders::Ipv4(ip, _) => right.update_checksum_ipv4(ip, payload)?,
        NetHeaders::Ipv6(ip, _) => right.update_checksum_ipv6(ip, payload)?,
        NetHeaders::Arp(_) => {}
    }
    if right != *transport {
        bail!("the checksum of its transport header is wrong");
    }
    Ok(())
}

/// The ports of an SCTP packet whose checksum is right.
fn sctp(packet: &[u8]) -> Result<(u16, u16)> {
    let ports = ports(packet)?;
    let mut zeroed = packet.to_vec();
    let field = zeroed.get_mut(8..SCTP_HEADER).context("its SCTP header is cut off")?;
    let sum = <[u8; 4]>::try_from(&*field)?;
    field.fill(0);
    if CRC32C.checksum(&zeroed).to_le_bytes() != sum {
        bail!("its SCTP checksum is wrong");
    }
    Ok(ports)
}

/// The two ports that TCP, UDP and SCTP headers begin with.
fn ports(bytes: &[u8]) -> Result<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk().context("its ports are cut off")?;
    Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The packet that an ICMP error quotes: its IP header and at least eight bytes.
fn quoted(bytes: &[u8]) -> Result<Ends> {
    let (ip, rest) = IpHeaders::from_slice_lax(bytes).map(|(ip, rest, _)| (ip, rest.payload)).context("it quotes no IP packet")?;
    let (src, dst, number) = match ip {
        IpHeaders::Ipv4(ip, _) => (IpAddr::from(ip.source), IpAddr::from(ip.destination), ip.protocol),
        IpHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into(), ip.next_header),
    };
    let proto = match number {
        IpNumber::TCP => Proto::Tcp,
        IpNumber::UDP => Proto::Udp,
        IpNumber::SCTP => Proto::Sctp,
        IpNumber(other) => bail!("it quotes a packet of protocol {other}"),
    };
    let (sport, dport) = ports(rest)?;
    Ok(Ends { proto, src: SocketAddr::new(src, sport), dst: SocketAddr::new(dst, dport) })
}
