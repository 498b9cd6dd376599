//! What came out: strictly read, because whoever gets it reads it so.

use super::{Ends, SCTP_SUM, sctp_sum};
use crate::simulate::scenario::Proto;
use anyhow::{Context as _, Result, bail};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpHeaders, IpNumber, NetHeaders, PacketHeaders, TransportHeader,
    icmpv4, icmpv6,
};
use std::net::{IpAddr, SocketAddr};

const PORT_UNREACHABLE_V4: Icmpv4Type =
    Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
const PORT_UNREACHABLE_V6: Icmpv6Type =
    Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);

/// What a packet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulate) enum Parsed {
    /// One of the three protocols.
    Data(Ends),
    /// A TCP reset.
    Reset(Ends),
    /// "Port unreachable", to this address about this packet.
    Unreachable(IpAddr, Ends),
}

/// Source, destination and protocol of an IP packet.
struct Addresses {
    src: IpAddr,
    dst: IpAddr,
    number: IpNumber,
}

impl Addresses {
    fn with(&self, proto: Proto, (sport, dport): (u16, u16)) -> Ends {
        Ends { proto, src: SocketAddr::new(self.src, sport), dst: SocketAddr::new(self.dst, dport) }
    }
}

/// Reads a frame.
///
/// # Errors
/// It is none of those, or a length or checksum of it is wrong.
pub(in crate::simulate) fn read(bytes: &[u8]) -> Result<Parsed> {
    let packet = PacketHeaders::from_ethernet_slice(bytes).context("it is no whole packet")?;
    let net = packet.net.as_ref().context("it is no IP packet")?;
    let payload = packet.payload.slice();
    let addresses = addresses(net)?;
    check_transport(net, packet.transport.as_ref(), payload)?;
    match packet.transport {
        Some(TransportHeader::Tcp(tcp)) => {
            let ends = addresses.with(Proto::Tcp, (tcp.source_port, tcp.destination_port));
            Ok(if tcp.rst { Parsed::Reset(ends) } else { Parsed::Data(ends) })
        }
        Some(TransportHeader::Udp(udp)) => {
            let ports = (udp.source_port, udp.destination_port);
            Ok(Parsed::Data(addresses.with(Proto::Udp, ports)))
        }
        Some(TransportHeader::Icmpv4(icmp)) if icmp.icmp_type == PORT_UNREACHABLE_V4 => {
            Ok(Parsed::Unreachable(addresses.dst, quoted(payload)?))
        }
        Some(TransportHeader::Icmpv6(icmp)) if icmp.icmp_type == PORT_UNREACHABLE_V6 => {
            Ok(Parsed::Unreachable(addresses.dst, quoted(payload)?))
        }
        None if addresses.number == IpNumber::SCTP => {
            Ok(Parsed::Data(addresses.with(Proto::Sctp, sctp(payload)?)))
        }
        other => bail!("it is neither TCP, UDP, SCTP nor a refusal, but {other:?}"),
    }
}

fn addresses(net: &NetHeaders) -> Result<Addresses> {
    Ok(match net {
        NetHeaders::Ipv4(ip, _) => {
            if ip.header_checksum != ip.calc_header_checksum() {
                bail!("its IP checksum is wrong");
            }
            let (src, dst) = (ip.source.into(), ip.destination.into());
            Addresses { src, dst, number: ip.protocol }
        }
        NetHeaders::Ipv6(ip, _) => {
            let (src, dst) = (ip.source.into(), ip.destination.into());
            Addresses { src, dst, number: ip.next_header }
        }
        NetHeaders::Arp(_) => bail!("it is an ARP packet"),
    })
}

/// Compares the transport's checksum with the one that it should have.
fn check_transport(
    net: &NetHeaders,
    transport: Option<&TransportHeader>,
    payload: &[u8],
) -> Result<()> {
    let Some(transport) = transport else { return Ok(()) };
    let mut right = transport.clone();
    match net {
        NetHeaders::Ipv4(ip, _) => right.update_checksum_ipv4(ip, payload)?,
        NetHeaders::Ipv6(ip, _) => right.update_checksum_ipv6(ip, payload)?,
        NetHeaders::Arp(_) => {}
    }
    if right != *transport {
        bail!("the checksum behind its IP header is wrong");
    }
    Ok(())
}

/// The ports of an SCTP packet whose checksum is right.
fn sctp(packet: &[u8]) -> Result<(u16, u16)> {
    let mut zeroed = packet.to_vec();
    let field = zeroed.get_mut(SCTP_SUM).context("its SCTP header is cut off")?;
    let sum = <[u8; 4]>::try_from(&*field)?;
    field.fill(0);
    if sctp_sum(&zeroed) != sum {
        bail!("its SCTP checksum is wrong");
    }
    ports(packet)
}

/// The two ports that TCP, UDP and SCTP headers begin with.
fn ports(bytes: &[u8]) -> Result<(u16, u16)> {
    let [a, b, c, d] = *bytes.first_chunk().context("its ports are cut off")?;
    Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The packet that an ICMP error quotes: its IP header and at least eight bytes.
fn quoted(bytes: &[u8]) -> Result<Ends> {
    let (ip, rest, _) = IpHeaders::from_slice_lax(bytes).context("it quotes no IP packet")?;
    let addresses = match ip {
        IpHeaders::Ipv4(ip, _) => {
            Addresses { src: ip.source.into(), dst: ip.destination.into(), number: ip.protocol }
        }
        IpHeaders::Ipv6(ip, _) => {
            Addresses { src: ip.source.into(), dst: ip.destination.into(), number: ip.next_header }
        }
    };
    let proto = match addresses.number {
        IpNumber::TCP => Proto::Tcp,
        IpNumber::UDP => Proto::Udp,
        IpNumber::SCTP => Proto::Sctp,
        IpNumber(other) => bail!("it quotes a packet of protocol {other}"),
    };
    Ok(addresses.with(proto, ports(rest.payload)?))
}
