//! Which addresses and ports mean a service port, whom they lead where, and what they say when
//! nobody is there.
//!
//! The internal traffic policy governs the `ClusterIP` only; the external one governs node ports,
//! external and load-balancer addresses, and binds outsiders only: pods of the cluster and the
//! node itself get the endpoints of all nodes ("short-circuit").

use super::endpoint::Endpoints;
use super::{Family, NodeView, proto};
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
    /// For pods of the cluster and the node itself.
    pub inside: Side,
    /// For everybody else.
    pub outside: Side,
}

/// The frontends of `port` in one family, each once. None, if the Service is not of this family:
/// it is, if it has a `ClusterIP` of it.
pub fn of(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: &NodeView,
) -> Vec<FrontendPlan> {
    if in_family(&service.cluster_ips, family).next().is_none() {
        return Vec::new();
    }
    let internal = internal_sides(service.internal_policy, node);
    let external = external_sides(service.external_policy, node);
    let mut plans = Vec::<FrontendPlan>::new();
    for (key, kind) in places(service, port, family) {
        let is_internal = kind == FrontendValue::CLUSTER_IP;
        let (inside, outside) = if is_internal { internal } else { external };
        // An external address may be the load balancer's too.
        if plans.iter().all(|plan| plan.key != key) {
            plans.push(FrontendPlan { key, kind, inside, outside });
        }
    }
    plans
}

/// Addresses and ports, with what kind of address each is.
fn places(service: &Service, port: &ServicePort, family: Family) -> Vec<(FrontendKey, u8)> {
    let proto = proto(port.protocol);
    let at = |kind| move |addr| (FrontendKey::of(addr, Port::new(port.port), proto), kind);
    let cluster_ip = in_family(&service.cluster_ips, family).take(1);
    let external_ips = in_family(&service.external_ips, family);
    let load_balanced = service.kind == ServiceType::LoadBalancer;
    let load_balancer_ips = in_family(&service.load_balancer_ips, family).filter(|_| load_balanced);
    let exposed = matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer);
    let node_port = port.node_port.filter(|_| exposed).map(|number| {
        let key = FrontendKey::node_port(Port::new(number), proto, family == Family::V6);
        (key, FrontendValue::NODE_PORT)
    });
    cluster_ip
        .map(at(FrontendValue::CLUSTER_IP))
        .chain(external_ips.map(at(FrontendValue::EXTERNAL_IP)))
        .chain(load_balancer_ips.map(at(FrontendValue::LOAD_BALANCER)))
        .chain(node_port)
        .collect()
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
    // Whoever a Local policy lets in keeps its address: a local endpoint answers by this node,
    // and so do pods of the cluster, whom it does not bind.
    let flags = match policy {
        TrafficPolicy::Cluster => node.external_snat(),
        TrafficPolicy::Local => 0,
    };
    (Side { policy: TrafficPolicy::Cluster, flags }, Side { policy, flags })
}

/// Adds what an empty set means: usable endpoints, but none that a `Local` policy allows here,
/// drops; none anywhere refuses.
pub fn with_verdicts(mut plans: Vec<FrontendPlan>, endpoints: &Endpoints) -> Vec<FrontendPlan> {
    let drops = endpoints.any_usable && endpoints.local.is_empty();
    let local = Choice::LOCAL | if drops { Choice::DROP } else { 0 };
    let sides = plans.iter_mut().flat_map(|plan| [&mut plan.inside, &mut plan.outside]);
    for side in sides.filter(|side| side.policy == TrafficPolicy::Local) {
        side.flags |= local;
    }
    plans
}
