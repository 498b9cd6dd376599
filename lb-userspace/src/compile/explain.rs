//! All reasons about one Service: which of its addresses lead to it, which endpoints are used, and
//! why not the others.
//!
//! The answers are those of the functions that plan it; here they are only put together. What
//! only the tables know, who holds an address and whether there is room, the planner adds.

use super::endpoint::{self, Hints, Listed, Outcome};
use super::reason::{HintUse, PolicyUse, Skipped, Standing};
use super::{Family, NodeView, PortName, frontend, guard, proto};
use crate::model::{
    EndpointSlice, ObjectName, Obstacle, Protocol, Service, ServicePort, TrafficPolicy, Unusable,
};
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::wire::{Addr, Port};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What became of a Service.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Explanation {
    /// The Service.
    pub service: ObjectName,
    /// Why nothing of it is programmed; null: it is.
    pub skipped: Option<Skipped>,
    /// Its ports, for each family that has something to say.
    pub ports: Vec<PortExplanation>,
    /// What it and its slices name and what cannot be used.
    pub unusable: Vec<UnusableExplanation>,
}

/// What became of a port of a Service in one family.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct PortExplanation {
    /// `spec.ports[].name`.
    pub name: String,
    /// `spec.ports[].protocol`.
    pub protocol: Protocol,
    /// `spec.ports[].port`.
    pub port: u16,
    /// The family.
    pub family: Family,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// What `spec.externalTrafficPolicy` means.
    pub external_policy: PolicyUse,
    /// Its addresses and node port.
    pub frontends: Vec<FrontendExplanation>,
    /// Topology hints for nodes.
    pub node_hints: HintUse,
    /// Topology hints for zones.
    pub zone_hints: HintUse,
    /// The agent's own name server, which clients of this node get while it is there.
    #[serde(default)]
    pub name_server: Option<SocketAddr>,
    /// Every entry of every slice of the Service.
    pub endpoints: Vec<EndpointExplanation>,
}

/// What became of an address and port.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct FrontendExplanation {
    /// The field that names it.
    pub field: Cow<'static, str>,
    /// The address; null: those of the node that serve node ports.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Only some clients may use it (`loadBalancerSourceRanges`).
    pub guarded: bool,
    /// Whether it leads to the Service.
    pub standing: Standing,
}

/// What became of an entry of a slice.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct EndpointExplanation {
    /// The slice's name.
    pub slice: String,
    /// The entry's address.
    pub address: IpAddr,
    /// `nodeName`.
    pub node: Option<String>,
    /// The Pod behind it.
    pub pod: Option<String>,
    /// Why it is not ready, if a probe of this agent says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// Whether it is used.
    pub outcome: Outcome,
}

/// Something that cannot be used.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct UnusableExplanation {
    /// The object that names it: `Service ns/name`.
    pub object: String,
    /// The field, as a path.
    pub field: String,
    /// What it says.
    pub text: String,
    /// Why it cannot be used.
    pub why: Obstacle,
}

impl PortExplanation {
    /// Whose id it is, as a port of this Service.
    pub fn port_name(&self, service: &ObjectName) -> PortName {
        PortName {
            service: service.clone(),
            port: self.name.clone(),
            protocol: self.protocol,
            family: self.family,
        }
    }

    /// The entry of `FRONTENDS` of one of its addresses.
    pub fn key(&self, frontend: &FrontendExplanation) -> FrontendKey {
        let (port, proto) = (Port::new(frontend.port), proto(self.protocol));
        match frontend.address {
            Some(ip) => FrontendKey::of(ip.into(), port, proto),
            None => FrontendKey::node_port(port, proto, self.family == Family::V6),
        }
    }
}

/// Explains what `plan` does with the same arguments.
pub fn explanation(
    service: &Service,
    slices: &BTreeMap<String, EndpointSlice>,
    node: &NodeView,
) -> Explanation {
    let families = Family::ALL.into_iter();
    let ports = service.ports.iter().flat_map(|port| {
        families.clone().filter_map(|family| explain_port(service, port, family, (slices, node)))
    });
    let own = unusable(format!("Service {}", service.name), &service.unusable);
    let listed = slices
        .values()
        .flat_map(|slice| unusable(format!("EndpointSlice {}", slice.name), &slice.unusable));
    Explanation {
        service: service.name.clone(),
        skipped: frontend::skipped(service),
        ports: ports.collect(),
        unusable: own.chain(listed).collect(),
    }
}

/// `None`: the Service names nothing of this family for it.
fn explain_port(
    service: &Service,
    port: &ServicePort,
    family: Family,
    (slices, node): (&BTreeMap<String, EndpointSlice>, &NodeView),
) -> Option<PortExplanation> {
    let named = frontend::named(service, port, family);
    let programmed = named.iter().any(|named| named.standing == Standing::Programmed);
    let uses = frontend::uses(service, port, family);
    let name_server = node.stands_for(service, port, family).filter(|_| programmed);
    // Who has no frontend asks for no endpoint.
    let slices = slices.values().filter(|_| programmed);
    let (endpoints, mut entries) = endpoint::with_entries(port, slices, family, node, uses);
    entries.sort_by_key(|entry| (&entry.slice.name, entry.endpoint.address));
    let Hints { node: node_hints, zone: zone_hints } = endpoints.hints;
    (!named.is_empty()).then(|| PortExplanation {
        name: port.name.clone(),
        protocol: port.protocol,
        port: port.port,
        family,
        internal_policy: service.internal_policy,
        external_policy: frontend::policy_use(service, port, family),
        frontends: named.into_iter().map(|named| explain_frontend(named, service, node)).collect(),
        node_hints,
        zone_hints,
        name_server: name_server.map(SocketAddr::from),
        endpoints: entries.into_iter().map(explain_endpoint).collect(),
    })
}

fn explain_frontend(
    named: frontend::Named,
    service: &Service,
    node: &NodeView,
) -> FrontendExplanation {
    let frontend::Named { key, kind, standing } = named;
    let is_node_port = key.addr == Addr::ANY;
    let unserved = |family: &Family| family.number() == key.family;
    let no_address = is_node_port
        && standing == Standing::Programmed
        && node.without_node_ports.iter().any(unserved);
    FrontendExplanation {
        field: field(kind).into(),
        address: (!is_node_port).then(|| key.addr.to_ip()),
        port: key.port.number(),
        guarded: guard::is_guarded(service, key.addr),
        standing: if no_address { Standing::NoNodeAddress } else { standing },
    }
}

fn field(kind: u8) -> &'static str {
    match kind {
        FrontendValue::CLUSTER_IP => "clusterIPs",
        FrontendValue::NODE_PORT => "nodePort",
        FrontendValue::EXTERNAL_IP => "externalIPs",
        _ => "status.loadBalancer.ingress",
    }
}

fn explain_endpoint(Listed { slice, endpoint, outcome }: Listed<'_>) -> EndpointExplanation {
    EndpointExplanation {
        slice: slice.name.name.clone(),
        address: endpoint.address,
        node: endpoint.node.clone(),
        pod: endpoint.pod.clone(),
        unready: endpoint.unready.clone(),
        outcome,
    }
}

fn unusable(object: String, list: &[Unusable]) -> impl Iterator<Item = UnusableExplanation> {
    list.iter().cloned().map(move |Unusable { field, text, why }| UnusableExplanation {
        object: object.clone(),
        field,
        text,
        why,
    })
}
