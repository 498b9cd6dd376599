//! Which Services a load balancer in front of the cluster may ask about, and what it is told: how
//! many endpoints this node has.
//!
//! Such a Service has the type `LoadBalancer`, `externalTrafficPolicy: Local` and a
//! `healthCheckNodePort`. What counts are addresses, not ports; and readiness alone: an endpoint
//! that only serves while it terminates still gets packets, but the load balancer is to look for
//! another node. As with kube-proxy since 1.36 (`pkg/proxy/healthcheck`), families are kept
//! apart: a question over IPv4 is answered with the endpoints that IPv4 has, and a family that
//! the Service has not is not answered at all. Nothing is opened here; `health` does that.

use super::Family;
use super::frontend;
use super::node::node_port_addrs;
use crate::model::{
    Endpoint, EndpointPort, EndpointSlice, ObjectName, Service, ServiceType, Snapshot,
    TrafficPolicy,
};
use ipnet::IpNet;
use lb_common::wire::Addr;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is told about a Service, and at which port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// `spec.healthCheckNodePort`.
    pub port: u16,
    /// Distinct addresses of ready endpoints on this node, for each family of the Service.
    pub local_endpoints: BTreeMap<Family, usize>,
}

/// The checks of all Services.
pub fn desired(snapshot: &Snapshot) -> BTreeMap<ObjectName, Check> {
    let none = BTreeMap::new();
    let named = |(name, service): (&ObjectName, &Service)| {
        let slices = snapshot.slices.get(name).unwrap_or(&none);
        Some((name.clone(), check(service, slices, &snapshot.node.name)?))
    };
    snapshot.services.iter().filter_map(named).collect()
}

/// The check of one Service with its slices on the node `node`; `None`: nobody asks about it.
pub fn check(
    service: &Service,
    slices: &BTreeMap<String, EndpointSlice>,
    node: &str,
) -> Option<Check> {
    let asked = service.kind == ServiceType::LoadBalancer
        && service.external_policy == TrafficPolicy::Local
        && frontend::skipped(service).is_none()
        && !service.ports.is_empty();
    let port = service.health_check_node_port.filter(|_| asked)?;
    let families: BTreeSet<Family> =
        service.cluster_ips.iter().map(|ip| Family::of((*ip).into())).collect();
    let count = |family| (family, local_ready(slices.values(), family, node));
    Some(Check { port, local_endpoints: families.into_iter().map(count).collect() })
}

/// The addresses where such questions arrive: those that serve node ports. A family without
/// `ranges` is listened to as a whole, by its unspecified address.
pub fn listen_addrs(own: impl Iterator<Item = IpAddr>, ranges: &[IpNet]) -> BTreeSet<IpAddr> {
    let whole = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let restricted =
        |ip: &IpAddr| ranges.iter().any(|range| range.addr().is_ipv4() == ip.is_ipv4());
    let single = node_port_addrs(own, ranges).into_iter().map(Addr::to_ip);
    let whole = whole.into_iter().filter(|ip| !restricted(ip));
    whole.chain(single.filter(restricted)).collect()
}

/// Distinct addresses of one family that are ready on `node`, whatever their ports.
fn local_ready<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &str,
) -> usize {
    let mut entries = BTreeMap::<(&EndpointPort, IpAddr), Standing>::new();
    for slice in slices {
        let in_family = |endpoint: &&Endpoint| Family::of(endpoint.address.into()) == family;
        for endpoint in slice.endpoints.iter().filter(in_family) {
            for port in &slice.ports {
                let known = entries.entry((port, endpoint.address)).or_default();
                *known = Standing::of(endpoint, node).max(*known);
            }
        }
    }
    let counts = |standing: &Standing| standing.ready && standing.local;
    let counted = entries.iter().filter(|(_, standing)| counts(standing));
    counted.map(|((_, address), _)| address).collect::<BTreeSet<_>>().len()
}

/// What slices say of an endpoint. Where they say it twice, the larger one holds: that it is not
/// terminating comes first, as in `endpoint`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    stays: bool,
    ready: bool,
    local: bool,
}

impl Standing {
    fn of(endpoint: &Endpoint, node: &str) -> Self {
        Self {
            stays: !endpoint.terminating,
            ready: endpoint.ready,
            local: endpoint.node.as_deref() == Some(node),
        }
    }
}
