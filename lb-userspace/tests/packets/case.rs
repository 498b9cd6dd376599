//! Who is where: the hook, family and protocol of one performance, and everybody's address in it.

use crate::frame::{Frame, payload};
use crate::hook::Hook;
use lb_common::wire::IpProto;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One way to play a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Where packets come in.
    pub(crate) hook: Hook,
    pub(crate) v6: bool,
    pub(crate) proto: IpProto,
}

/// The port of the Service.
pub(crate) const PORT: u16 = 80;
/// The port of its backends.
pub(crate) const TARGET_PORT: u16 = 8080;

impl Case {
    /// Every hook, family and protocol that both hooks translate.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::of(&[Hook::Xdp, Hook::TcIngress], &[IpProto::TCP, IpProto::UDP])
    }

    /// Every family and protocol in the hook that translates all of them.
    pub(crate) fn in_tc() -> impl Iterator<Item = Self> {
        Self::of(&[Hook::TcIngress], &[IpProto::TCP, IpProto::UDP, IpProto::SCTP])
    }

    /// Both families of SCTP, in TC.
    pub(crate) fn sctp() -> impl Iterator<Item = Self> {
        Self::of(&[Hook::TcIngress], &[IpProto::SCTP])
    }

    fn of(hooks: &[Hook], protos: &[IpProto]) -> impl Iterator<Item = Self> {
        let mut cases = Vec::new();
        for hook in hooks {
            for v6 in [false, true] {
                cases.extend(protos.iter().map(|proto| Self { hook: *hook, v6, proto: *proto }));
            }
        }
        cases.into_iter()
    }

    pub(crate) fn is_tcp(self) -> bool {
        self.proto == IpProto::TCP
    }

    pub(crate) fn is_xdp(self) -> bool {
        self.hook == Hook::Xdp
    }

    /// A pod of this node that asks.
    pub(crate) fn pod(self, port: u16) -> SocketAddr {
        self.other_pod(0, port)
    }

    /// Another one.
    pub(crate) fn other_pod(self, n: u8, port: u16) -> SocketAddr {
        SocketAddr::new(pod_addr(self.v6, 10 + n), port)
    }

    /// The Service.
    pub(crate) fn vip(self) -> SocketAddr {
        SocketAddr::new(addr(self.v6, 96, 1), PORT)
    }

    /// Another address of it, or another Service.
    pub(crate) fn other_vip(self) -> SocketAddr {
        SocketAddr::new(addr(self.v6, 96, 2), PORT)
    }

    /// The `n`-th backend, in the pods' range.
    pub(crate) fn backend(self, n: u32) -> SocketAddr {
        let host = u8::try_from(100 + n).expect("few backends");
        SocketAddr::new(pod_addr(self.v6, host), TARGET_PORT)
    }

    /// Which backend this is.
    pub(crate) fn number_of(self, backend: SocketAddr) -> u32 {
        let number = (1..50).find(|n| self.backend(*n) == backend);
        number.unwrap_or_else(|| panic!("{backend} is no backend"))
    }

    /// Backends 1 to `count`.
    pub(crate) fn backends(self, count: u32) -> Vec<SocketAddr> {
        (1..=count).map(|n| self.backend(n)).collect()
    }

    /// A place that has nothing to do with any Service.
    pub(crate) fn stranger(self) -> SocketAddr {
        SocketAddr::new(addr(self.v6, 7, 7), PORT)
    }

    /// The node: on the uplink of [`crate::network`].
    pub(crate) fn node(self) -> IpAddr {
        node_addr(self.v6)
    }

    /// A host on the uplink; `n` below 10 is resolved by a neighbour entry ([`neighbour_mac`]).
    pub(crate) fn on_uplink(self, n: u8, port: u16) -> SocketAddr {
        SocketAddr::new(on_uplink(self.v6, n), port)
    }

    /// The payload of a jumbo frame: several buffers in XDP. In TC the kernel's test run takes no
    /// more than a page.
    pub(crate) fn jumbo(self) -> Vec<u8> {
        payload(if self.is_xdp() { 8_800 } else { 3_000 })
    }

    /// The first packet of a flow.
    pub(crate) fn opening(self, src: SocketAddr, dst: SocketAddr) -> Frame {
        match self.proto {
            IpProto::TCP => Frame::syn(src, dst),
            IpProto::SCTP => Frame::init(src, dst),
            _ => Frame::datagram(src, dst),
        }
    }

    /// A later packet of a flow, in either direction.
    pub(crate) fn later(self, src: SocketAddr, dst: SocketAddr) -> Frame {
        match self.proto {
            IpProto::TCP => Frame::segment(src, dst),
            IpProto::SCTP => Frame::chunk(src, dst),
            _ => Frame::datagram(src, dst),
        }
    }
}

fn addr(v6: bool, net: u8, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0x1234, 0xab, host.into()).into()
    } else {
        Ipv4Addr::new(10, net, 0, host).into()
    }
}

/// Where pods live.
pub(crate) fn pod_addr(v6: bool, host: u8) -> IpAddr {
    addr(v6, 244, host)
}

/// The node's address on its uplink.
pub(crate) fn node_addr(v6: bool) -> IpAddr {
    on_uplink(v6, 254)
}

/// Host `n` on the uplink.
pub(crate) fn on_uplink(v6: bool, n: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, n).into()
    }
}

/// The hardware address of that host.
pub(crate) fn neighbour_mac(host: IpAddr) -> [u8; 6] {
    match host {
        IpAddr::V4(ip) => [0x02, 4, 0, 0, 0, ip.octets()[3]],
        IpAddr::V6(ip) => [0x02, 6, 0, 0, 0, ip.octets()[15]],
    }
}
