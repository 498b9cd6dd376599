//! The packets and tables of each case.

use etherparse::PacketBuilder;
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::reconcile::Edit;
use std::net::{IpAddr, Ipv6Addr};

/// The hook that a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Xdp,
    Tc,
}

/// What the packets of a case are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TcpExisting {
        v6: bool,
    },
    UdpExisting,
    /// Every packet opens a connection; the flow table is full.
    TcpNew,
    NotOurs,
}

/// One line of the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) hook: Hook,
    pub(crate) kind: Kind,
    /// How many flows the packets belong to; a power of two.
    pub(crate) flows: u32,
}

const SERVICE: u32 = 1;
/// Test runs come in by the loopback link.
const LINK: u32 = 1;

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let existing =
            [Kind::TcpExisting { v6: false }, Kind::TcpExisting { v6: true }, Kind::UdpExisting];
        let mut cases = Vec::new();
        for hook in [Hook::Xdp, Hook::Tc] {
            for kind in existing {
                cases.extend([1, 1024, 131_072].map(|flows| Self { hook, kind, flows }));
            }
            cases.extend([Kind::TcpNew, Kind::NotOurs].map(|kind| Self { hook, kind, flows: 1 }));
        }
        cases
    }

    pub(crate) fn name(&self) -> String {
        let name = match self.kind {
            Kind::TcpExisting { v6: false } => "tcp4-existing",
            Kind::TcpExisting { v6: true } => "tcp6-existing",
            Kind::UdpExisting => "udp4-existing",
            Kind::TcpNew => "tcp4-new",
            Kind::NotOurs => "not-ours",
        };
        let prefix = if self.hook == Hook::Tc { "tc-" } else { "" };
        format!("{prefix}{name}")
    }

    /// How many different 5-tuples the packets have.
    pub(crate) fn tuples(&self) -> u32 {
        // Eight times what the table holds, so that no flow is met again before it was evicted.
        if self.kind == Kind::TcpNew { 1 << 22 } else { self.flows }
    }

    pub(crate) fn v6(&self) -> bool {
        matches!(self.kind, Kind::TcpExisting { v6: true })
    }

    fn udp(&self) -> bool {
        self.kind == Kind::UdpExisting
    }

    /// The packet, 80 bytes at least.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let eth = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ip = if self.v6() {
            let src = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
            eth.ipv6(src, vip_v6().octets(), 64)
        } else {
            let dst = if self.kind == Kind::NotOurs { [198, 51, 100, 1] } else { [10, 96, 0, 1] };
            eth.ipv4([10, 1, 0, 1], dst, 64)
        };
        let mut packet = Vec::new();
        let payload = [0; 40];
        if self.udp() {
            ip.udp(20_000, 80).write(&mut packet, &payload).unwrap();
        } else {
            let tcp = ip.tcp(20_000, 80, 1, 8192);
            let tcp = if self.kind == Kind::TcpNew { tcp.syn() } else { tcp.ack(1) };
            tcp.write(&mut packet, &payload).unwrap();
        }
        packet
    }

    /// A `ClusterIP` with three backends on other nodes, asked by pods: what most packets are.
    pub(crate) fn tables(&self) -> Vec<Edit> {
        let proto = if self.udp() { IpProto::UDP } else { IpProto::TCP };
        let mut edits = vec![Edit::Link(LINK, Some(pod_link()))];
        for id in 1..=3 {
            edits.push(Edit::Backend(id, backend(id, proto, self.v6())));
        }
        edits.push(Edit::Slots(0, vec![1, 2, 3]));
        let vip = if self.v6() { IpAddr::V6(vip_v6()) } else { IpAddr::from([10, 96, 0, 1]) };
        let key = FrontendKey::of(vip.into(), Port::new(80), proto);
        let choice = Choice { base: 0, len: 3, flags: 0 };
        edits.push(Edit::Address(key.addr, AddressValue::FRONTEND));
        edits.push(Edit::Frontend(
            key,
            Some(FrontendValue {
                service: SERVICE,
                affinity: 0,
                affinity_timeout_s: 0,
                inside: choice,
                outside: choice,
                kind: FrontendValue::CLUSTER_IP,
                flags: 0,
                zero: [0; 2],
            }),
        ));
        edits
    }
}

fn vip_v6() -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 1)
}

fn pod_link() -> LinkValue {
    LinkValue { kind: LinkValue::POD, ..bytemuck::Zeroable::zeroed() }
}

fn backend(id: u32, proto: IpProto, v6: bool) -> BackendValue {
    let last = u8::try_from(id).unwrap();
    let addr = if v6 {
        Addr::from(IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, id as u16)))
    } else {
        Addr::v4([10, 244, 0, last])
    };
    BackendValue {
        addr,
        port: Port::new(8080),
        proto,
        flags: BackendValue::IN_CLUSTER_SET,
        service: SERVICE,
        generation: 1,
        zero: [0; 4],
    }
}
