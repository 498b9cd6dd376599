//! Golden lists of one node: a Service with two ports and both families, one with a `Local`
//! policy and nobody here, one flow of each kind.

/// Lists as people read them.
mod golden;
/// The agent's own name server.
mod name_server;
/// Lists as programs read them; arguments; exit codes.
mod shape;

use super::output::{Format, Row, Style, list};
use super::source::{Ages, Counters};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::Clock;
use lb_common::layout::service::{ServiceValue, field};
use lb_common::wire::{Addr, IpProto, Port};
use std::net::SocketAddr;

const TABLE: Style = Style { format: Format::Table, color: false };
const WIDE: Style = Style { format: Format::Wide, color: false };

fn addr(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

fn end(text: &str) -> (Addr, Port) {
    let socket: SocketAddr = text.parse().unwrap();
    (socket.ip().into(), Port::new(socket.port()))
}

/// A port of a Service called `default/NAME`.
fn port(name: &str, (port_name, port): (&str, u16), node_port: u16, family: u8) -> ServiceValue {
    ServiceValue {
        namespace: field("default"),
        name: field(name),
        port_name: field(port_name),
        target_port: field("8080"),
        port: Port::new(port),
        node_port: Port::new(node_port),
        proto: IpProto::TCP,
        kind: if node_port == 0 { ServiceValue::CLUSTER_IP } else { ServiceValue::NODE_PORT },
        flags: 0,
        family,
    }
}

fn choice(base: u32, len: u32, flags: u32) -> Choice {
    Choice { base, len, flags }
}

fn frontend(service: u32, kind: u8, inside: Choice, outside: Choice) -> FrontendValue {
    FrontendValue {
        service,
        affinity: 0,
        affinity_timeout_s: 0,
        inside,
        outside,
        kind,
        flags: 0,
        zero: [0; 2],
    }
}

fn backend(at: &str, service: u32, flags: u8) -> BackendValue {
    let (addr, port) = end(at);
    BackendValue { addr, port, proto: IpProto::TCP, flags, service, generation: 1, zero: [0; 4] }
}

fn at(vip: &str) -> FrontendKey {
    let (addr, port) = end(vip);
    FrontendKey::of(addr, port, IpProto::TCP)
}

/// The tables of the node.
fn tables() -> Tables {
    const READY: u8 = BackendValue::READY | BackendValue::SERVING;
    const BOTH: u8 =
        READY | BackendValue::LOCAL | BackendValue::IN_CLUSTER_SET | BackendValue::IN_LOCAL_SET;
    let mut tables = Tables::default();
    tables.services.insert(1, port("kubia", ("http", 80), 30123, 4));
    tables.services.insert(2, port("kubia", ("http", 80), 30123, 6));
    tables.services.insert(3, port("kubia", ("https", 443), 0, 4));
    let local = ServiceValue {
        flags: ServiceValue::EXTERNAL_LOCAL,
        kind: ServiceValue::LOAD_BALANCER,
        ..port("edge", ("", 53), 0, 4)
    };
    tables.services.insert(4, local);
    tables.backends.insert(1, backend("10.244.0.11:8080", 1, BOTH));
    tables.backends.insert(2, backend("10.244.1.12:8080", 1, READY | BackendValue::IN_CLUSTER_SET));
    tables.backends.insert(3, backend("[fd00::11]:8080", 2, BOTH));
    let leaving = BackendValue::TERMINATING | BackendValue::SERVING;
    tables.backends.insert(4, backend("10.244.1.13:8080", 1, leaving));
    tables.backends.insert(5, backend("10.244.1.14:53", 4, READY | BackendValue::IN_CLUSTER_SET));
    tables.backends.insert(6, BackendValue { service: 0, ..backend("10.244.1.99:8080", 0, 0) });
    tables.slots.insert(0, vec![1, 2]);
    tables.slots.insert(2, vec![3]);
    tables.slots.insert(3, vec![5, 5, 5]);
    let (all, v6, edge) = (choice(0, 2, 0), choice(2, 1, 0), choice(3, 3, 0));
    let sticky = FrontendValue {
        affinity: 1,
        affinity_timeout_s: 10_800,
        ..frontend(1, FrontendValue::CLUSTER_IP, all, all)
    };
    tables.frontends.insert(at("10.96.0.10:80"), sticky);
    let snat = choice(0, 2, Choice::SNAT);
    tables.frontends.insert(
        FrontendKey::node_port(Port::new(30123), IpProto::TCP, false),
        frontend(1, FrontendValue::NODE_PORT, all, snat),
    );
    tables.frontends.insert(at("[fd00:96::10]:80"), frontend(2, FrontendValue::CLUSTER_IP, v6, v6));
    let nobody = choice(0, 0, 0);
    tables
        .frontends
        .insert(at("10.96.0.10:443"), frontend(3, FrontendValue::CLUSTER_IP, nobody, nobody));
    let not_here = choice(0, 0, Choice::LOCAL | Choice::DROP);
    tables
        .frontends
        .insert(at("203.0.113.5:53"), frontend(4, FrontendValue::LOAD_BALANCER, edge, not_here));
    tables
        .frontends
        .insert(at("10.96.0.20:53"), frontend(4, FrontendValue::CLUSTER_IP, edge, edge));
    tables
}

fn counters() -> Counters {
    let traffic = |packets| Traffic { packets, bytes: packets * 100, connections: packets / 10 };
    Counters {
        services: [(1, traffic(30)), (2, traffic(12))].into(),
        backends: [(1, traffic(20)), (2, traffic(10)), (3, traffic(12))].into(),
    }
}

/// The clock at 1000 s after boot with 250 jiffies a second.
fn ages() -> Ages {
    let clock = Clock { jiffies: 250_000, monotonic_ns: 1_000_000_000_000, hz: 250 };
    Ages { clock, now_ns: 1_000_000_000_000 }
}

/// The low half of jiffies `seconds` before now.
fn ago(seconds: u32) -> u32 {
    250_000 - 250 * seconds
}

/// Compares without the indentation of the expectation.
fn check<R: Row>(rows: &[R], style: Style, expected: &str) {
    let shown = list(rows, style).unwrap();
    let lines: Vec<&str> =
        expected.lines().map(str::trim_start).filter(|line| !line.is_empty()).collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), lines, "\n{shown}");
}
