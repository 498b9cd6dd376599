//! Which addresses and ports mean a service port, whom they lead where, and what they say when
//! nobody is there.
//!
//! The internal traffic policy governs the `ClusterIP` only; the external one governs node ports,
//! external and load-balancer addresses, and binds outsiders only: pods of the cluster and the
//! node itself get the endpoints of all nodes ("short-circuit"). As with kube-proxy every address
//! and node port that is there counts, whatever the type says; the type decides only whether the
//! external policy means anything.

use super::endpoint::{Endpoints, Uses};
use super::reason::{PolicyUse, Skipped, Standing};
use super::{BackendKey, Family, NodeView, guard, proto};
use crate::model::{Service, ServicePort, ServiceType, TrafficPolicy};
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::wire::{Addr, Port};
use std::net::IpAddr;

/// Where one class of clients is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// The endpoints of this node only, or all.
    pub policy: TrafficPolicy,
    /// Bits of [`Choice`].
    pub flags: u32,
}

/// An address and port that mean a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendPlan {
    /// The address and port.
    pub key: FrontendKey,
    /// What kind of address it is: [`FrontendValue::CLUSTER_IP`] and its kin.
    pub kind: u8,
    /// Only clients of [`PortPlan::sources`](super::PortPlan::sources) may use it.
    pub guarded: bool,
    /// For pods of the cluster and the node itself.
    pub inside: Side,
    /// For everybody else.
    pub outside: Side,
}

/// An address and port that a Service names, and whether that makes it a frontend.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The address and port.
    pub key: FrontendKey,
    /// What kind of address it is.
    pub kind: u8,
    /// [`Standing::Programmed`], or why not.
    pub standing: Standing,
}

/// Why nothing of a Service is programmed, external addresses included; `None`: it is.
pub fn skipped(service: &Service) -> Option<Skipped> {
    if let Some(proxy) = &service.other_proxy {
        Some(Skipped::OtherProxy(proxy.clone()))
    } else if service.kind == ServiceType::ExternalName {
        Some(Skipped::ExternalName)
    } else if service.headless {
        Some(Skipped::Headless)
    } else {
        service.cluster_ips.is_empty().then_some(Skipped::NoClusterIp)
    }
}

/// The external traffic policy, as far as the Service is one that outsiders reach.
pub fn external_policy(service: &Service) -> TrafficPolicy {
    let reachable = match service.kind {
        ServiceType::NodePort | ServiceType::LoadBalancer => true,
        ServiceType::ClusterIP => !service.external_ips.is_empty(),
        ServiceType::ExternalName => false,
    };
    if reachable { service.external_policy } else { TrafficPolicy::Cluster }
}

/// What the external traffic policy means for a port of a Service in one family.
pub fn policy_use(service: &Service, port: &ServicePort, family: Family) -> PolicyUse {
    match (service.external_policy, external_policy(service)) {
        (TrafficPolicy::Cluster, _) => PolicyUse::Cluster,
        (TrafficPolicy::Local, TrafficPolicy::Cluster) => PolicyUse::UnusedByType,
        (TrafficPolicy::Local, TrafficPolicy::Local) if is_exposed(service, port, family) => {
            PolicyUse::Local
        }
        (TrafficPolicy::Local, TrafficPolicy::Local) => PolicyUse::UnusedByPort,
    }
}

/// Which sets of endpoints a port of a Service ever chooses from in one family. A port that
/// outsiders reach needs those of all nodes even where a `Local` policy binds them: for clients
/// whom it does not bind.
pub fn uses(service: &Service, port: &ServicePort, family: Family) -> Uses {
    let internal_local = service.internal_policy == TrafficPolicy::Local;
    Uses {
        cluster: !internal_local || is_exposed(service, port, family),
        local: internal_local || policy_use(service, port, family) == PolicyUse::Local,
    }
}

/// Whether outsiders have an address or node port to aim at.
fn is_exposed(service: &Service, port: &ServicePort, family: Family) -> bool {
    port.node_port.is_some()
        || in_family(&service.load_balancer_ips, family).next().is_some()
        || in_family(&service.external_ips, family).next().is_some()
}

/// Every address and port that `port` of a Service names in one family. A node port names none by
/// itself: it is of the families that the Service has.
pub fn named(service: &Service, port: &ServicePort, family: Family) -> Vec<Named> {
    let all = skipped(service).map(Standing::Skipped);
    let all = all.or_else(|| (!is_of(service, family)).then_some(Standing::OtherFamily));
    let mut named = Vec::<Named>::new();
    let of_family =
        |kind: u8| kind != FrontendValue::NODE_PORT || all != Some(Standing::OtherFamily);
    for (key, kind) in places(service, port, family).filter(|(_, kind)| of_family(*kind)) {
        let standing = match &all {
            Some(standing) => standing.clone(),
            // An external address may be the load balancer's too.
            None if named.iter().any(|earlier| earlier.key == key) => Standing::Repeated,
            None => Standing::Programmed,
        };
        named.push(Named { key, kind, standing });
    }
    named
}

/// The frontends of `port` in one family, each once. None, if the Service is not of this family:
/// it is, if it has a `ClusterIP` of it.
pub fn of(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: &NodeView,
) -> Vec<FrontendPlan> {
    let internal = internal_sides(service.internal_policy, node);
    let external = external_sides(external_policy(service), node);
    let programmed = |named: &Named| named.standing == Standing::Programmed;
    let plan = |Named { key, kind, .. }| {
        let is_internal = kind == FrontendValue::CLUSTER_IP;
        let (inside, outside) = if is_internal { internal } else { external };
        FrontendPlan { key, kind, guarded: guard::is_guarded(service, key.addr), inside, outside }
    };
    named(service, port, family).into_iter().filter(programmed).map(plan).collect()
}

fn is_of(service: &Service, family: Family) -> bool {
    in_family(&service.cluster_ips, family).next().is_some()
}

/// Addresses and ports, with what kind of address each is.
fn places(
    service: &Service,
    port: &ServicePort,
    family: Family,
) -> impl Iterator<Item = (FrontendKey, u8)> {
    let proto = proto(port.protocol);
    let number = Port::new(port.port);
    let at = move |kind| move |addr| (FrontendKey::of(addr, number, proto), kind);
    let node_port = port.node_port.map(|number| {
        let key = FrontendKey::node_port(Port::new(number), proto, family == Family::V6);
        (key, FrontendValue::NODE_PORT)
    });
    in_family(&service.cluster_ips, family)
        .take(1)
        .map(at(FrontendValue::CLUSTER_IP))
        .chain(in_family(&service.external_ips, family).map(at(FrontendValue::EXTERNAL_IP)))
        .chain(in_family(&service.load_balancer_ips, family).map(at(FrontendValue::LOAD_BALANCER)))
        .chain(node_port)
}

fn in_family(addrs: &[IpAddr], family: Family) -> impl Iterator<Item = Addr> {
    addrs.iter().map(|ip| Addr::from(*ip)).filter(move |addr| Family::of(*addr) == family)
}

/// Both sides of the `ClusterIP`.
fn internal_sides(policy: TrafficPolicy, node: &NodeView) -> (Side, Side) {
    let (inside, outside) = node.cluster_ip_snat();
    (Side { policy, flags: inside }, Side { policy, flags: outside })
}

/// Both sides of an external frontend.
fn external_sides(policy: TrafficPolicy, node: &NodeView) -> (Side, Side) {
    let flags = node.external_snat(policy);
    (Side { policy: TrafficPolicy::Cluster, flags }, Side { policy, flags })
}

/// Adds what an empty set means: usable endpoints, but none that a `Local` policy allows here,
/// drops; none anywhere refuses. Clients of this node at a `ClusterIP` get a `name_server` first.
pub fn with_verdicts(
    mut plans: Vec<FrontendPlan>,
    endpoints: &Endpoints,
    name_server: Option<BackendKey>,
) -> Vec<FrontendPlan> {
    let is_internal = |plan: &&mut FrontendPlan| plan.kind == FrontendValue::CLUSTER_IP;
    for plan in plans.iter_mut().filter(is_internal).filter(|_| name_server.is_some()) {
        plan.inside.flags |= Choice::AGENT;
    }
    let drops = endpoints.any_usable && endpoints.local.is_empty();
    let local = Choice::LOCAL | if drops { Choice::DROP } else { 0 };
    let sides = plans.iter_mut().flat_map(|plan| [&mut plan.inside, &mut plan.outside]);
    for side in sides.filter(|side| side.policy == TrafficPolicy::Local) {
        side.flags |= local;
    }
    plans
}
