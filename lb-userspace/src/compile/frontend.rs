//! Which addresses and ports mean a service port, whom they lead where, and what they say when
//! nobody is there.
//!
//! The internal traffic policy governs the ClusterIP only; the external one governs node ports,
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

/// The frontends of `port` in one family.
pub fn of(
    service: &Service,
    port: &ServicePort,
    family: Family,
    node: &NodeView,
) -> Vec<FrontendPlan> {
    let internal = sides(service.internal_policy, service.internal_policy, node.cluster_ip_snat());
    let external = external_sides(service.external_policy, node);
    let at = |addr: Addr| FrontendKey::of(addr, Port::new(port.port), proto(port.protocol));
    let plan = |key, kind, (inside, outside)| FrontendPlan { key, kind, inside, outside };
    let mut plans = Vec::new();
    // Everything hangs on the family's ClusterIP: without one the Service is not of this family.
    let Some(cluster_ip) = in_family(&service.cluster_ips, family).next() else {
        return plans;
    };
    plans.push(plan(at(cluster_ip), FrontendValue::CLUSTER_IP, internal));
    for addr in in_family(&service.external_ips, family) {
        plans.push(plan(at(addr), FrontendValue::EXTERNAL_IP, external));
    }
    if service.kind == ServiceType::LoadBalancer {
        for addr in in_family(&service.load_balancer_ips, family) {
            plans.push(plan(at(addr), FrontendValue::LOAD_BALANCER, external));
        }
    }
    let exposed = matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer);
    if let Some(number) = port.node_port.filter(|_| exposed) {
        let key =
            FrontendKey::node_port(Port::new(number), proto(port.protocol), family == Family::V6);
        plans.push(plan(key, FrontendValue::NODE_PORT, external));
    }
    plans
}

fn in_family(addrs: &[IpAddr], family: Family) -> impl Iterator<Item = Addr> {
    addrs.iter().map(|ip| Addr::from(*ip)).filter(move |addr| Family::of(*addr) == family)
}

/// Both sides of an external frontend.
fn external_sides(policy: TrafficPolicy, node: &NodeView) -> (Side, Side) {
    match policy {
        // Whoever is let in keeps its address: a local endpoint answers by this node.
        TrafficPolicy::Local => sides(TrafficPolicy::Cluster, policy, (0, 0)),
        TrafficPolicy::Cluster => sides(policy, policy, node.external_snat()),
    }
}

fn sides(inside: TrafficPolicy, outside: TrafficPolicy, snat: (u32, u32)) -> (Side, Side) {
    (Side { policy: inside, flags: snat.0 }, Side { policy: outside, flags: snat.1 })
}

/// Adds what an empty set means: usable endpoints, but none that a `Local` policy allows here,
/// drops; none anywhere refuses.
pub fn with_verdicts(mut plans: Vec<FrontendPlan>, endpoints: &Endpoints) -> Vec<FrontendPlan> {
    let drops = endpoints.any_usable && endpoints.local.is_empty();
    for plan in &mut plans {
        for side in [&mut plan.inside, &mut plan.outside] {
            if side.policy == TrafficPolicy::Local {
                side.flags |= Choice::LOCAL | if drops { Choice::DROP } else { 0 };
            }
        }
    }
    plans
}
