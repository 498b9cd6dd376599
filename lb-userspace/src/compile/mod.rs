//! Model to plan: what a Service means on this node.
//!
//! Here, and only here, stand the rules of kube-proxy: which endpoints count, which addresses
//! mean a service, whom a policy binds, what happens when nobody is left. Everything is a pure,
//! total function of its arguments: what is not used has a reason, never an error. Before: `model`.
//! After: `reconcile` gives the plan ids and slots.

/// The node itself: addresses, links.
pub mod node;
/// Why something is used or not.
pub mod reason;
/// Which endpoints a service port may use.
pub mod endpoint;
/// Who may use load-balancer addresses.
pub mod guard;
/// Which addresses and ports mean it.
pub mod frontend;
/// All reasons about one Service.
pub mod explain;
/// What a load balancer in front of the cluster is told.
pub mod health;
/// The node's own name server in the place of the cluster's.
pub mod name_server;

use crate::model::{
    AffinityScope, Algorithm, EndpointSlice, ObjectName, Protocol, Service, ServicePort,
    ServiceType, TrafficPolicy,
};
use lb_common::layout::service::{ServiceValue, field};
use lb_common::wire::{Addr, IpProto, Port};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use endpoint::{BackendKey, BackendPlan};
pub use explain::{Explanation, explanation};
pub use frontend::{FrontendPlan, Side};
pub use guard::Prefix;
pub use name_server::NameServer;
pub use node::NodeView;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "IPv4")]
    V4,
    /// IPv6.
    #[serde(rename = "IPv6")]
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(addr: Addr) -> Self {
        if addr.is_v4() { Self::V4 } else { Self::V6 }
    }

    /// The family with this number.
    pub fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.number() == number)
    }

    /// Kubernetes' spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
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
    /// The agent's own name server, which clients of this node get while it is there.
    pub name_server: Option<BackendKey>,
    /// Clients that may use its guarded frontends.
    pub sources: BTreeSet<Prefix>,
    /// Seconds for which a silent client is remembered; `None`: no affinity.
    pub affinity_timeout_s: Option<u32>,
    /// It shares its memory of clients with the Service's other ports.
    pub shared_affinity: bool,
    /// How slots are filled.
    pub algorithm: Algorithm,
}

/// The plan of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// One entry per service port and family.
    pub ports: Vec<PortPlan>,
    /// Older Services keep addresses that several claim: `metadata.creationTimestamp`, seconds.
    pub created_s: i64,
}

/// Plans a Service with the slices that belong to it.
///
/// A Service that is [skipped](frontend::skipped) has an empty plan.
pub fn plan(service: &Service, slices: &BTreeMap<String, EndpointSlice>, node: &NodeView) -> Plan {
    let mut plan = Plan { created_s: service.created_s, ..Plan::default() };
    if frontend::skipped(service).is_some() {
        return plan;
    }
    let has_affinity = service.affinity_timeout_s.is_some();
    for port in &service.ports {
        for family in Family::ALL {
            let frontends = frontend::of(service, port, family, node);
            if frontends.is_empty() {
                continue;
            }
            let name_server = node.stands_for(service, port, family);
            let uses = frontend::uses(service, port, family);
            let endpoints = endpoint::of(port, slices.values(), family, node, uses);
            plan.ports.push(PortPlan {
                name: name(service, port, family),
                info: info(service, port, family),
                frontends: frontend::with_verdicts(frontends, &endpoints, name_server),
                backends: endpoints.backends,
                cluster: endpoints.cluster,
                local: endpoints.local,
                name_server,
                sources: guard::sources(service, family, node),
                affinity_timeout_s: service.affinity_timeout_s,
                shared_affinity: has_affinity && service.affinity_scope == AffinityScope::Service,
                algorithm: service.algorithm,
            });
        }
    }
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
    let external_local = frontend::external_policy(service) == TrafficPolicy::Local;
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
