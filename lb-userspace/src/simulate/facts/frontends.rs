//! Addresses and ports that mean a Service, from `FRONTENDS`.

use super::service_name;
use crate::compile::Family;
use crate::model::Protocol;
use crate::reconcile::Tables;
use crate::simulate::expect::facts::{
    Expectations, FamilyName, Frontend, FrontendKind, Frontends, PerFamily,
};
use crate::simulate::report::{Check, json};
use crate::simulate::world::World;
use ipnet::IpNet;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use lb_common::wire::{Addr, IpProto};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// `expectFrontends`.
///
/// The tables hold an address and port once. One that is an external IP and the load balancer's at
/// the same time is listed as either: it counts for both. Node ports have no address of their own;
/// they are compared if the file lists one.
pub(super) fn frontends(expected: &Expectations, world: &World<'_>) -> Option<Check> {
    let wanted = expected.frontends.as_ref()?;
    let with_ports = wanted.all.iter().any(|one| one.kind == FrontendKind::NodePort);
    let mut held: BTreeSet<Frontend> = held(world, wanted.family);
    held.retain(|one| with_ports || one.kind != FrontendKind::NodePort);
    let place = |one: &Frontend| (one.ip, one.protocol.name(), one.port, one.port_name.clone());
    let listed: BTreeSet<Frontend> = wanted.all.iter().map(Frontend::truncated).collect();
    let is_held = |one: &&Frontend| held.iter().any(|other| place(other) == place(one));
    let is_listed = |one: &&Frontend| listed.contains(one);
    let missing =
        listed.iter().filter(|one| !is_held(one)).map(|one| format!("missing  {}", json(one)));
    let extra =
        held.iter().filter(|one| !is_listed(one)).map(|one| format!("extra    {}", json(one)));
    let mut differences: Vec<String> = missing.chain(extra).collect();
    let health = health_port(world);
    if health != wanted.health_check_node_port {
        differences.push(format!(
            "healthCheckNodePort: expected {}, was {}",
            json(&wanted.health_check_node_port),
            json(&health)
        ));
    }
    let actual = Frontends {
        family: wanted.family,
        all: held.into_iter().collect(),
        health_check_node_port: health,
    };
    let ok = differences.is_empty();
    Some(Check { differences, ..Check::of("expectFrontends", json(wanted), json(&actual), ok) })
}

/// The health check node port of the scenario's Service.
fn health_port(world: &World<'_>) -> Option<u16> {
    world.health_ports().values().next().map(|port| port.port)
}

fn held(world: &World<'_>, family: FamilyName) -> BTreeSet<Frontend> {
    let tables = world.tables();
    let frontends = tables.frontends.iter().filter_map(|(key, value)| {
        let service = tables.services.get(&value.service)?;
        (service.family == number(family)).then(|| frontend(world, (key, value), service))?
    });
    frontends.collect()
}

fn frontend(
    world: &World<'_>,
    (key, value): (&FrontendKey, &FrontendValue),
    service: &ServiceValue,
) -> Option<Frontend> {
    let kind = match value.kind {
        FrontendValue::CLUSTER_IP => FrontendKind::ClusterIP,
        FrontendValue::NODE_PORT => FrontendKind::NodePort,
        FrontendValue::EXTERNAL_IP => FrontendKind::ExternalIP,
        _ => FrontendKind::LoadBalancer,
    };
    Some(Frontend {
        kind,
        ip: (key.addr != Addr::ANY).then(|| key.addr.to_ip()),
        protocol: match key.proto {
            IpProto::TCP => Protocol::Tcp,
            IpProto::UDP => Protocol::Udp,
            IpProto::SCTP => Protocol::Sctp,
            _ => return None,
        },
        port: key.port.number(),
        port_name: text(&service.port_name).to_owned(),
        source_ranges: ranges(world, kind, service),
    })
}

/// Who may use a load balancer's address.
fn ranges(world: &World<'_>, kind: FrontendKind, service: &ServiceValue) -> BTreeSet<IpNet> {
    let guarded = kind == FrontendKind::LoadBalancer;
    let object = world.snapshot.services.get(&service_name(service)).filter(|_| guarded);
    let ranges = object.into_iter().flat_map(|object| &object.source_ranges);
    ranges.filter(|range| range.addr().is_ipv4() == (service.family == 4)).copied().collect()
}

/// `expectClusterIPs`.
pub(super) fn cluster_ips(expected: &Expectations, tables: &Tables) -> Option<Check> {
    let expected = expected.cluster_ips.as_ref()?;
    let held = |v4| {
        let internal =
            tables.frontends.iter().filter(|(_, value)| value.kind == FrontendValue::CLUSTER_IP);
        internal.map(|(key, _)| key.addr.to_ip()).find(|ip: &IpAddr| ip.is_ipv4() == v4)
    };
    let actual = PerFamily { v4: held(true), v6: held(false) };
    Some(Check::fact("expectClusterIPs", expected, &actual))
}

fn number(family: FamilyName) -> u8 {
    match family {
        FamilyName::IPv4 => Family::V4.number(),
        FamilyName::IPv6 => Family::V6.number(),
    }
}
