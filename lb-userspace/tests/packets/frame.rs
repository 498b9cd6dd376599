//! Packets as values: built by etherparse, read by etherparse.

use crate::ip::{addresses, headers, set_addresses};
use etherparse::{
    Ethernet2Header, IpHeaders, LinkHeader, NetHeaders, PacketBuilder, PacketHeaders, TcpHeader,
    TransportHeader, UdpHeader,
};
use lb_common::flow::{Edge, FlowKey};
use lb_common::wire::{IpProto, Port};
use std::net::SocketAddr;

/// The host that sends what comes in.
pub(crate) const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// This node.
pub(crate) const NODE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// Hops that a packet has left.
pub(crate) const HOPS: u8 = 61;
/// The first sequence number of a client.
pub(crate) const SEQ: u32 = 0xffff_fff0;

/// Where the IP header begins.
pub(crate) const L3: usize = Ethernet2Header::LEN;

/// A frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) eth: Ethernet2Header,
    pub(crate) ip: IpHeaders,
    pub(crate) transport: TransportHeader,
    pub(crate) payload: Vec<u8>,
    /// UDP only: sent without a checksum.
    pub(crate) unchecked: bool,
}

/// Frames are equal when their bytes are; lengths and checksums follow from the rest.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Frame {
    /// A TCP segment that opens a connection, with options.
    pub(crate) fn syn(src: SocketAddr, dst: SocketAddr) -> Self {
        const MSS_SACK_TIMESTAMPS: [u8; 16] = [2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0];
        let mut tcp = TcpHeader::new(src.port(), dst.port(), SEQ, 64_240);
        tcp.syn = true;
        tcp.set_options_raw(&MSS_SACK_TIMESTAMPS).unwrap();
        Self::new(src, dst, TransportHeader::Tcp(tcp), Vec::new())
    }

    /// A TCP segment in the middle of a connection, of an odd length.
    pub(crate) fn segment(src: SocketAddr, dst: SocketAddr) -> Self {
        let mut tcp = TcpHeader::new(src.port(), dst.port(), SEQ.wrapping_add(1), 501);
        (tcp.ack, tcp.psh, tcp.acknowledgment_number) = (true, true, 0x0102_0304);
        Self::new(
            src,
            dst,
            TransportHeader::Tcp(tcp),
            b"GET / HTTP/1.1\r\nHost: kubia\r\n\r".into(),
        )
    }

    /// A UDP datagram, of an odd length.
    pub(crate) fn datagram(src: SocketAddr, dst: SocketAddr) -> Self {
        let udp = UdpHeader {
            source_port: src.port(),
            destination_port: dst.port(),
            length: 0,
            checksum: 0,
        };
        Self::new(
            src,
            dst,
            TransportHeader::Udp(udp),
            b"a question of odd length, as it is!".into(),
        )
    }

    /// A packet as a peer of this node sends it.
    pub(crate) fn new(
        src: SocketAddr,
        dst: SocketAddr,
        transport: TransportHeader,
        payload: Vec<u8>,
    ) -> Self {
        let ip = headers(src.ip(), dst.ip());
        let eth = Ethernet2Header {
            source: PEER_MAC,
            destination: NODE_MAC,
            ether_type: if src.is_ipv6() { 0x86dd } else { 0x0800 }.into(),
        };
        Self { eth, ip, transport, payload, unchecked: false }
    }

    /// The bytes of it, with the lengths and checksums that it should have.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let step =
            PacketBuilder::ethernet2(self.eth.source, self.eth.destination).ip(self.ip.clone());
        let mut bytes = Vec::new();
        match &self.transport {
            TransportHeader::Tcp(tcp) => {
                step.tcp_header(tcp.clone()).write(&mut bytes, &self.payload)
            }
            TransportHeader::Udp(udp) => {
                step.udp(udp.source_port, udp.destination_port).write(&mut bytes, &self.payload)
            }
            TransportHeader::Icmpv4(icmp) => {
                step.icmpv4(icmp.icmp_type.clone()).write(&mut bytes, &self.payload)
            }
            TransportHeader::Icmpv6(icmp) => {
                step.icmpv6(icmp.icmp_type).write(&mut bytes, &self.payload)
            }
            TransportHeader::Igmp(_) => panic!("no scene has IGMP"),
        }
        .unwrap();
        if self.unchecked {
            let at = self.l4() + 6;
            bytes[at..at + 2].fill(0);
        }
        bytes
    }

    /// The packet in `bytes`.
    ///
    /// # Panics
    /// A length or checksum is not what etherparse makes of the rest.
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let read = PacketHeaders::from_ethernet_slice(bytes).expect("a whole packet");
        let Some(LinkHeader::Ethernet2(eth)) = read.link else { panic!("no Ethernet header") };
        let ip = match read.net {
            Some(NetHeaders::Ipv4(ip, rest)) => IpHeaders::Ipv4(ip, rest),
            Some(NetHeaders::Ipv6(ip, rest)) => IpHeaders::Ipv6(ip, rest),
            Some(NetHeaders::Arp(_)) | None => panic!("no IP header"),
        };
        let transport = read.transport.expect("a transport header");
        let unchecked = matches!(&transport, TransportHeader::Udp(udp) if udp.checksum == 0);
        let payload = read.payload.slice().to_vec();
        let frame = Self { eth, ip, transport, payload, unchecked };
        assert_eq!(frame.bytes(), bytes, "lengths and checksums of {frame:?}");
        frame
    }

    /// Offset of the transport header.
    pub(crate) fn l4(&self) -> usize {
        L3 + self.ip.header_len()
    }

    /// Bytes from the IP header on, as they are counted.
    pub(crate) fn counted_len(&self) -> u64 {
        (self.bytes().len() - L3) as u64
    }

    /// Where it comes from.
    pub(crate) fn src(&self) -> SocketAddr {
        SocketAddr::new(addresses(&self.ip).0, self.ports().0)
    }

    /// Where it goes.
    pub(crate) fn dst(&self) -> SocketAddr {
        SocketAddr::new(addresses(&self.ip).1, self.ports().1)
    }

    fn ports(&self) -> (u16, u16) {
        match &self.transport {
            TransportHeader::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
            TransportHeader::Udp(udp) => (udp.source_port, udp.destination_port),
            TransportHeader::Icmpv4(_) | TransportHeader::Icmpv6(_) | TransportHeader::Igmp(_) => {
                panic!("{:?} has no ports", self.transport)
            }
        }
    }

    /// The same from somebody else.
    pub(crate) fn from(&self, src: SocketAddr) -> Self {
        self.between(src, self.dst())
    }

    /// The same to somebody else.
    pub(crate) fn to(&self, dst: SocketAddr) -> Self {
        self.between(self.src(), dst)
    }

    /// The same between others.
    pub(crate) fn between(&self, src: SocketAddr, dst: SocketAddr) -> Self {
        let mut frame = self.clone();
        set_addresses(&mut frame.ip, src.ip(), dst.ip());
        match &mut frame.transport {
            TransportHeader::Tcp(tcp) => {
                (tcp.source_port, tcp.destination_port) = (src.port(), dst.port());
            }
            TransportHeader::Udp(udp) => {
                (udp.source_port, udp.destination_port) = (src.port(), dst.port());
            }
            TransportHeader::Icmpv4(_) | TransportHeader::Icmpv6(_) | TransportHeader::Igmp(_) => {}
        }
        frame
    }

    /// The same with hardware addresses: source, destination.
    pub(crate) fn over(&self, (source, destination): ([u8; 6], [u8; 6])) -> Self {
        let eth = Ethernet2Header { source, destination, ..self.eth.clone() };
        Self { eth, ..self.clone() }
    }

    /// The same with so many hops left.
    pub(crate) fn hops(&self, hops: u8) -> Self {
        let mut frame = self.clone();
        match &mut frame.ip {
            IpHeaders::Ipv4(ip, _) => ip.time_to_live = hops,
            IpHeaders::Ipv6(ip, _) => ip.hop_limit = hops,
        }
        frame
    }

    /// The same with its TCP header changed; nothing happens to UDP.
    pub(crate) fn tcp(&self, change: impl Fn(&mut TcpHeader)) -> Self {
        let mut frame = self.clone();
        if let TransportHeader::Tcp(tcp) = &mut frame.transport {
            change(tcp);
        }
        frame
    }

    /// The same with another payload.
    pub(crate) fn carrying(&self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self.clone() }
    }

    /// Its key in the flow table, seen at `edge`.
    pub(crate) fn key(&self, edge: Edge) -> FlowKey {
        let (src, dst) = (self.src(), self.dst());
        let tcp = matches!(self.transport, TransportHeader::Tcp(_));
        FlowKey {
            src: src.ip().into(),
            dst: dst.ip().into(),
            sport: Port::new(src.port()),
            dport: Port::new(dst.port()),
            proto: if tcp { IpProto::TCP } else { IpProto::UDP },
            edge,
            zero: [0; 2],
        }
    }
}

/// Bytes that differ from their neighbours.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(7).take(len).collect()
}
