//! What the agent of the node left in the maps.

use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::{LinkValue, XdpState};
use lb_common::layout::service::{ServiceValue, field};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::reconcile::Edit;
use std::net::IpAddr;

/// The id of `default/three`.
pub(crate) const THREE: u32 = 5;
/// The id of `default/sticky`, and what its clients are remembered under.
pub(crate) const STICKY: u32 = 6;

const ALL: [&str; 3] = ["10.244.0.11", "10.244.0.12", "10.244.1.13"];
const V6: &str = "fd00:10:244::11";

/// A service port: id, name, port, protocol, where it leads.
type Service = (u32, &'static str, u16, IpProto, u16, &'static [&'static str]);

const SERVICES: [Service; 9] = [
    (1, "kubia", 80, IpProto::TCP, 8080, &["10.244.0.11"]),
    (2, "far", 80, IpProto::TCP, 8080, &["10.244.1.13"]),
    (3, "guarded", 80, IpProto::TCP, 8080, &["10.244.1.13"]),
    (4, "nobody", 80, IpProto::TCP, 8080, &[]),
    (THREE, "three", 80, IpProto::TCP, 8080, &ALL),
    (STICKY, "sticky", 80, IpProto::TCP, 8080, &ALL),
    (7, "kubia", 53, IpProto::UDP, 5353, &["10.244.0.11"]),
    (8, "kubia", 9999, IpProto::SCTP, 9899, &["10.244.0.11"]),
    (9, "kubia", 80, IpProto::TCP, 8080, &[V6]),
];

/// Where a service port is reached: its id, the address (none: a node port), the port, the kind.
const FRONTENDS: [(u32, Option<&str>, u16, u8); 11] = [
    (1, Some("10.96.0.10"), 80, FrontendValue::CLUSTER_IP),
    (1, None, 30124, FrontendValue::NODE_PORT),
    (2, Some("10.96.0.11"), 80, FrontendValue::CLUSTER_IP),
    (2, None, 30123, FrontendValue::NODE_PORT),
    (3, Some("203.0.113.5"), 80, FrontendValue::LOAD_BALANCER),
    (4, Some("10.96.0.13"), 80, FrontendValue::CLUSTER_IP),
    (THREE, Some("10.96.0.14"), 80, FrontendValue::CLUSTER_IP),
    (STICKY, Some("10.96.0.15"), 80, FrontendValue::CLUSTER_IP),
    (7, Some("10.96.0.10"), 53, FrontendValue::CLUSTER_IP),
    (8, Some("10.96.0.10"), 9999, FrontendValue::CLUSTER_IP),
    (9, Some("fd00:10:96::10"), 80, FrontendValue::CLUSTER_IP),
];

pub(crate) fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// The id of an endpoint of a service port.
pub(crate) fn backend_id(service: u32, number: u32) -> u32 {
    service * 3 + number
}

/// Everything, in an order that programs could read at any time.
pub(crate) fn edits(pod_link: u32, uplink: u32) -> Vec<Edit> {
    let mut edits = vec![
        Edit::Link(pod_link, Some(link("veth1", LinkValue::POD, false))),
        Edit::Link(uplink, Some(link("uplink", LinkValue::UPLINK, true))),
        Edit::Link(0, Some(LinkValue { tc: 0, ..link("", 0, true) })),
        Edit::Address(addr("192.0.2.2"), AddressValue::NODE_PORTS),
    ];
    for service in SERVICES {
        edits.extend(service_edits(&service));
    }
    for (id, at, port, kind) in FRONTENDS {
        edits.extend(frontend_edits(id, at, port, kind));
    }
    for address in ALL.into_iter().chain([V6]) {
        edits.push(Edit::Address(addr(address), AddressValue::BACKEND));
    }
    let range = SourceRangeKey { prefix_len: 160, service: 3, addr: addr("198.51.100.77").0 };
    edits.push(Edit::SourceRange(range, true));
    edits
}

fn link(name: &str, kind: u8, has_address: bool) -> LinkValue {
    let mut field = [0; 16];
    field[..name.len()].copy_from_slice(name.as_bytes());
    let own = |text| if has_address { addr(text) } else { Addr::ANY };
    LinkValue {
        masquerade_v4: own("192.0.2.2"),
        masquerade_v6: own("2001:db8:1::2"),
        kind,
        tc: LinkValue::TCX,
        xdp: XdpState::OFF,
        zero: [0; 5],
        name: field,
    }
}

fn service_edits((id, name, port, proto, target, endpoints): &Service) -> Vec<Edit> {
    let text = |text: &str| field(text);
    let value = ServiceValue {
        namespace: text("default"),
        name: text(name),
        port_name: text("http"),
        target_port: text(&target.to_string()),
        port: Port::new(*port),
        node_port: Port::NONE,
        proto: *proto,
        kind: ServiceValue::CLUSTER_IP,
        flags: 0,
        family: 4,
    };
    let mut edits = vec![Edit::Service(*id, Some(value))];
    for (number, endpoint) in (0..).zip(*endpoints) {
        let local = if *endpoint == "10.244.1.13" { 0 } else { BackendValue::LOCAL };
        let usable = BackendValue::READY | BackendValue::SERVING | BackendValue::IN_CLUSTER_SET;
        let backend = BackendValue {
            addr: addr(endpoint),
            port: Port::new(*target),
            proto: *proto,
            flags: local | usable,
            service: *id,
            generation: 1,
            zero: [0; 4],
        };
        edits.push(Edit::Backend(backend_id(*id, number), backend));
    }
    let ids = (0..).zip(*endpoints).map(|(number, _)| backend_id(*id, number));
    edits.push(Edit::Slots(id * 3, ids.collect()));
    edits
}

fn frontend_edits(id: u32, at: Option<&str>, port: u16, kind: u8) -> Vec<Edit> {
    let (_, _, _, proto, _, endpoints) = SERVICES.into_iter().find(|one| one.0 == id).unwrap();
    let choice = Choice { base: id * 3, len: u32::try_from(endpoints.len()).unwrap(), flags: 0 };
    let outside = Choice { flags: if choice.len == 0 { Choice::DROP } else { 0 }, ..choice };
    let sticky = id == STICKY;
    let value = FrontendValue {
        service: id,
        affinity: if sticky { STICKY } else { 0 },
        affinity_timeout_s: if sticky { 3_600 } else { 0 },
        inside: choice,
        outside,
        kind,
        flags: if id == 3 { FrontendValue::GUARDED } else { 0 },
        zero: [0; 2],
    };
    let port = Port::new(port);
    let Some(at) = at.map(addr) else {
        return vec![Edit::Frontend(FrontendKey::node_port(port, proto, false), Some(value))];
    };
    let cluster_ip = if kind == FrontendValue::CLUSTER_IP { AddressValue::CLUSTER_IP } else { 0 };
    vec![
        Edit::Frontend(FrontendKey::of(at, port, proto), Some(value)),
        Edit::Address(at, AddressValue::FRONTEND | cluster_ip),
    ]
}
