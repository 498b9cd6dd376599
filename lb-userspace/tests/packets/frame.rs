//! Packets as values: built by etherparse, read by etherparse.

use crate::ip::{addresses, headers, set_addresses};
use crate::transport::{SctpHeader, Transport};
use etherparse::{
    Ethernet2Header, IpHeaders, LinkHeader, NetHeaders, PacketBuilder, PacketHeaders, TcpHeader,
    UdpHeader,
};
use lb_common::flow::{Edge, FlowKey};
use lb_common::wire::Port;
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
    /// Boxed: etherparse keeps room for every extension header.
    pub(crate) ip: Box<IpHeaders>,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
    /// UDP and SCTP only: sent without a checksum.
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
        Self::new(src, dst, Transport::Tcp(tcp), Vec::new())
    }

    /// A TCP segment in the middle of a connection, of an odd length.
    pub(crate) fn segment(src: SocketAddr, dst: SocketAddr) -> Self {
        let mut tcp = TcpHeader::new(src.port(), dst.port(), SEQ.wrapping_add(1), 501);
        (tcp.ack, tcp.psh, tcp.acknowledgment_number) = (true, true, 0x0102_0304);
        Self::new(src, dst, Transport::Tcp(tcp), b"GET / HTTP/1.1\r\nHost: kubia\r\n\r".into())
    }

    /// A UDP datagram, of an odd length.
    pub(crate) fn datagram(src: SocketAddr, dst: SocketAddr) -> Self {
        let udp = UdpHeader {
            source_port: src.port(),
            destination_port: dst.port(),
            length: 0,
            checksum: 0,
        };
        Self::new(src, dst, Transport::Udp(udp), b"a question of odd length, as it is!".into())
    }

    /// An SCTP packet that opens an association.
    pub(crate) fn init(src: SocketAddr, dst: SocketAddr) -> Self {
        // INIT: initiate tag, window, streams out and in, first TSN (RFC 9260 section 3.3.2).
        const INIT: [u8; 20] = [1, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0, 0, 0, 10, 0, 10, 9, 8, 7, 6];
        Self::sctp(src, dst, 0, &INIT)
    }

    /// An SCTP packet in the middle of an association: user data of an odd length, padded.
    pub(crate) fn chunk(src: SocketAddr, dst: SocketAddr) -> Self {
        // DATA: TSN, stream, sequence, protocol (RFC 9260 section 3.3.1).
        const DATA: [u8; 16] = [0, 3, 0, 31, 9, 8, 7, 6, 0, 1, 0, 2, 0, 0, 0, 0];
        let chunks = [&DATA[..], b"fifteen of them\0"].concat();
        Self::sctp(src, dst, 0x0102_0304, &chunks)
    }

    /// An SCTP packet of these chunks.
    pub(crate) fn sctp(src: SocketAddr, dst: SocketAddr, tag: u32, chunks: &[u8]) -> Self {
        let header = SctpHeader { src: src.port(), dst: dst.port(), tag };
        Self::new(src, dst, Transport::Sctp(header), chunks.to_vec())
    }

    /// A packet as a peer of this node sends it.
    pub(crate) fn new(
        src: SocketAddr,
        dst: SocketAddr,
        transport: Transport,
        payload: Vec<u8>,
    ) -> Self {
        let ip = Box::new(headers(src.ip(), dst.ip()));
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
            PacketBuilder::ethernet2(self.eth.source, self.eth.destination).ip((*self.ip).clone());
        let mut bytes = self.transport.write(step, &self.payload).unwrap();
        if self.unchecked {
            self.check(&mut bytes).expect("an optional checksum").fill(0);
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
            Some(NetHeaders::Ipv4(ip, rest)) => Box::new(IpHeaders::Ipv4(ip, rest)),
            Some(NetHeaders::Ipv6(ip, rest)) => Box::new(IpHeaders::Ipv6(ip, rest)),
            Some(NetHeaders::Arp(_)) | None => panic!("no IP header"),
        };
        let (transport, payload) = Transport::read(read.transport, &read.payload);
        let mut frame = Self { eth, ip, transport, payload, unchecked: false };
        frame.unchecked = frame.check(&mut bytes.to_vec()).is_some_and(|check| is_zero(check));
        assert_eq!(frame.bytes(), bytes, "lengths and checksums of {frame:?}");
        frame
    }

    /// The checksum in the bytes of a frame, if that may be absent.
    fn check<'a>(&self, bytes: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let field = self.transport.optional_check()?;
        Some(&mut bytes[self.l4()..][field])
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
        self.transport.ports().unwrap_or_else(|| panic!("{:?} has no ports", self.transport))
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
        frame.transport.set_ports(src.port(), dst.port());
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
        match &mut *frame.ip {
            IpHeaders::Ipv4(ip, _) => ip.time_to_live = hops,
            IpHeaders::Ipv6(ip, _) => ip.hop_limit = hops,
        }
        frame
    }

    /// The same with its TCP header changed; nothing happens to UDP.
    pub(crate) fn tcp(&self, change: impl Fn(&mut TcpHeader)) -> Self {
        let mut frame = self.clone();
        if let Transport::Tcp(tcp) = &mut frame.transport {
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
        FlowKey {
            src: src.ip().into(),
            dst: dst.ip().into(),
            sport: Port::new(src.port()),
            dport: Port::new(dst.port()),
            proto: self.transport.proto(),
            edge,
            zero: [0; 2],
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Bytes that differ from their neighbours.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().step_by(7).take(len).collect()
}
