//! Model to plan: what a Service means on this node.
//!
//! Here, and only here, stand the rules of kube-proxy: which endpoints count, which addresses
//! mean a service, whom a policy binds, what happens when nobody is left. Everything is a pure,
//! total function of its arguments: a bad object becomes a [`Problem`], never an error. Before:
//! `model`. After: `reconcile` gives the plan ids and slots.

/// Which endpoints a service port may use.
pub mod endpoint;
/// Which addresses and ports mean it.
pub mod frontend;
/// The node itself: addresses, links.
pub mod node;
/// What a load balancer in front of the cluster is told.
pub mod health;

use crate::model::{
    Algorithm, EndpointSlice, ObjectName, Problem, Protocol, Service, ServicePort, ServiceType,
    TrafficPolicy,
};
use lb_common::layout::service::{ServiceValue, field};
use lb_common::wire::{Addr, IpProto, Port};
use std::collections::BTreeMap;
use std::fmt;

pub use endpoint::{BackendKey, BackendPlan};
pub use frontend::{FrontendPlan, Side};
pub use node::NodeView;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(addr: Addr) -> Self {
        if addr.is_v4() { Self::V4 } else { Self::V6 }
    }

    /// 4 or 6.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}

/// The name of a service port in one family: what an id belongs to.
///
/// Families are kept apart because they are judged apart: a family without endpoints rejects by
/// itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortName {
    /// The Service.
    pub service: ObjectName,
    /// `spec.ports[].name`.
    pub port: String,
    /// `spec.ports[].protocol`.
    pub protocol: Protocol,
    /// The family.
    pub family: Family,
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, port, protocol, family } = self;
        let colon = if port.is_empty() { "" } else { ":" };
        write!(f, "{service}{colon}{port}/{} (IPv{})", protocol.name(), family.number())
    }
}

/// Everything that one service port needs in one family, before ids are given.
#[derive(Clone, Debug, PartialEq)]
pub struct PortPlan {
    /// Whose plan it is.
    pub name: PortName,
    /// Facts for people (`SERVICES`).
    pub info: ServiceValue,
    /// The addresses and ports that mean it.
    pub frontends: Vec<FrontendPlan>,
    /// Its endpoints, usable or not.
    pub backends: BTreeMap<BackendKey, BackendPlan>,
    /// Those that new connections may choose where no `Local` policy applies.
    pub cluster: Vec<BackendKey>,
    /// Those that they may choose where one does.
    pub local: Vec<BackendKey>,
    /// Seconds for which a silent client is remembered; `None`: no affinity.
    pub affinity_timeout_s: Option<u32>,
    /// How slots are filled.
    pub algorithm: Algorithm,
}

/// The plan of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One entry per service port and family.
    pub ports: Vec<PortPlan>,
    /// What cannot be done as written.
    pub problems: Vec<Problem>,
    /// Older Services keep addresses that several claim: `metadata.creationTimestamp`, seconds.
    pub created_s: i64,
}

/// Plans a Service with the slices that belong to it.
///
/// Headless and `ExternalName` Services have no frontend of any kind, external addresses
/// included; their plan is empty.
pub fn plan(service: &Service, slices: &BTreeMap<String, EndpointSlice>, node: &NodeView) -> Plan {
    let mut plan = Plan { created_s: service.created_s, ..Plan::default() };
    if service.headless || service.kind == ServiceType::ExternalName {
        return plan;
    }
    for port in &service.ports {
        for family in Family::ALL {
            let frontends = frontend::of(service, port, family, node);
            if frontends.is_empty() {
                continue;
            }
            let endpoints = endpoint::of(port, slices.values(), family, node);
            plan.ports.push(PortPlan {
                name: name(service, port, family),
                info: info(service, port, family),
                frontends: frontend::with_verdicts(frontends, &endpoints),
                backends: endpoints.backends,
                cluster: endpoints.cluster,
                local: endpoints.local,
                affinity_timeout_s: service.affinity_timeout_s,
                algorithm: service.algorithm,
            });
        }
    }
    plan.problems.extend(unguarded(service));
    plan
}

fn name(service: &Service, port: &ServicePort, family: Family) -> PortName {
    PortName {
        service: service.name.clone(),
        port: port.name.clone(),
        protocol: port.protocol,
        family,
    }
}

fn info(service: &Service, port: &ServicePort, family: Family) -> ServiceValue {
    let external_local = service.external_policy == TrafficPolicy::Local && is_external(service);
    let internal_local = service.internal_policy == TrafficPolicy::Local;
    let flag = |on, bit| if on { bit } else { 0 };
    ServiceValue {
        namespace: field(&service.name.namespace),
        name: field(&service.name.name),
        port_name: field(&port.name),
        target_port: field(&port.target_port.to_string()),
        port: Port::new(port.port),
        node_port: Port::new(port.node_port.unwrap_or(0)),
        proto: proto(port.protocol),
        kind: match service.kind {
            ServiceType::ClusterIP | ServiceType::ExternalName => ServiceValue::CLUSTER_IP,
            ServiceType::NodePort => ServiceValue::NODE_PORT,
            ServiceType::LoadBalancer => ServiceValue::LOAD_BALANCER,
        },
        flags: flag(external_local, ServiceValue::EXTERNAL_LOCAL)
            | flag(internal_local, ServiceValue::INTERNAL_LOCAL),
        family: family.number(),
    }
}

/// Whether the external traffic policy means anything.
fn is_external(service: &Service) -> bool {
    match service.kind {
        ServiceType::NodePort | ServiceType::LoadBalancer => true,
        ServiceType::ClusterIP => !service.external_ips.is_empty(),
        ServiceType::ExternalName => false,
    }
}

/// The packet programs have no source ranges yet, and an address that looks guarded and is not
/// must not go unnoticed.
fn unguarded(service: &Service) -> Option<Problem> {
    let guarded = !service.source_ranges.is_empty() && !service.load_balancer_ips.is_empty();
    guarded.then(|| Problem {
        subject: format!("Service {}", service.name),
        field: "spec.loadBalancerSourceRanges".to_owned(),
        message: "is not supported; everybody may use the load balancer's addresses".to_owned(),
    })
}

/// The protocol number of a Service's protocol.
pub fn proto(protocol: Protocol) -> IpProto {
    match protocol {
        Protocol::Tcp => IpProto::TCP,
        Protocol::Udp => IpProto::UDP,
        Protocol::Sctp => IpProto::SCTP,
    }
}

#[cfg(test)]
mod tests;
