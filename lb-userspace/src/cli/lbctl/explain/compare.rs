//! What is wanted beside what is in the maps.

use crate::cli::lbctl::resource::backends::{NODE, sets};
use crate::cli::lbctl::words::EndpointState;
use crate::compile::endpoint::Outcome;
use crate::compile::explain::{
    EndpointExplanation, Explanation, FrontendExplanation, PortExplanation,
};
use crate::compile::reason::{HintUse, PolicyUse, Standing, Usage};
use crate::compile::{BackendKey, Family, PortName};
use crate::model::{ObjectName, Protocol, TrafficPolicy};
use crate::reconcile::{Tables, port_name};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::FrontendKey;
use lb_common::wire::{Addr, Port};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// A port of a Service in one family.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct PortView {
    /// `spec.ports[].name`.
    pub(super) name: String,
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// `spec.ports[].port`.
    pub(super) port: u16,
    /// Its family.
    pub(super) family: Family,
    /// What decides; null: nobody knows.
    pub(super) rules: Option<Rules>,
    /// Its addresses.
    pub(super) frontends: Vec<FrontendView>,
    /// Its endpoints, and entries of slices that are none.
    pub(super) endpoints: Vec<EndpointView>,
}

/// What decides about a port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Rules {
    /// `spec.internalTrafficPolicy`.
    pub(super) internal_policy: TrafficPolicy,
    /// What `spec.externalTrafficPolicy` means.
    pub(super) external_policy: PolicyUse,
    /// Topology hints for nodes.
    pub(super) node_hints: HintUse,
    /// Topology hints for zones.
    pub(super) zone_hints: HintUse,
    /// The agent's own name server; null: it has no part.
    pub(super) name_server: Option<NameServerView>,
}

/// The agent's own name server, which clients of this node get while it is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct NameServerView {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The maps do not have it so.
    pub(super) differs: bool,
}

/// An address and port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FrontendView {
    /// The address; null: those of the node that serve node ports.
    pub(super) address: Option<IpAddr>,
    /// The port.
    pub(super) port: u16,
    /// What is wanted; null: nothing, or nobody knows.
    pub(super) wanted: Option<WantedFrontend>,
    /// It leads to this port in the maps.
    pub(super) held: bool,
    /// That is not as wanted.
    pub(super) differs: bool,
}

/// What is wanted of an address and port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct WantedFrontend {
    /// The field that names it.
    pub(super) field: String,
    /// Only some clients may use it.
    pub(super) guarded: bool,
    /// Whether it should lead to the Service, and why not.
    pub(super) standing: Standing,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct EndpointView {
    /// Its address.
    pub(super) address: IpAddr,
    /// Its port; null: it is no endpoint of this service port.
    pub(super) port: Option<u16>,
    /// What is wanted; null: nothing, or nobody knows.
    pub(super) wanted: Option<EndpointExplanation>,
    /// What is in the maps; null: nothing.
    pub(super) held: Option<HeldEndpoint>,
    /// That is not as wanted.
    pub(super) differs: bool,
}

/// An endpoint in the maps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct HeldEndpoint {
    /// What its conditions say.
    pub(super) state: EndpointState,
    /// Where new connections choose it.
    pub(super) used_for: Vec<&'static str>,
}

impl PortView {
    fn name_server(&self) -> Option<&NameServerView> {
        self.rules.as_ref()?.name_server.as_ref()
    }

    /// How much of it is not as wanted.
    pub(super) fn differences(&self) -> usize {
        self.frontends.iter().filter(|one| one.differs).count()
            + self.endpoints.iter().filter(|one| one.differs).count()
            + usize::from(self.name_server().is_some_and(|own| own.differs))
    }
}

/// What the maps hold of a port.
struct Held<'a> {
    tables: &'a Tables,
    /// Its ids: one, or none.
    ids: BTreeSet<u32>,
    backends: BTreeMap<BackendKey, &'a BackendValue>,
    /// Somebody knows what is wanted.
    judged: bool,
}

/// All ports of a Service: those that are wanted, and others that the maps hold. `judged`: whoever
/// gave what is `wanted` knows that the rest is not.
pub(super) fn ports(
    service: &ObjectName,
    wanted: Option<&Explanation>,
    judged: bool,
    tables: &Tables,
) -> Vec<PortView> {
    let mut ids = BTreeMap::<PortName, BTreeSet<u32>>::new();
    for (id, value) in &tables.services {
        if let Some(name) = port_name(value).filter(|name| name.service == *service) {
            ids.entry(name).or_default().insert(*id);
        }
    }
    let mut all = Vec::new();
    for port in wanted.into_iter().flat_map(|wanted| &wanted.ports) {
        let ids = ids.remove(&port.port_name(service)).unwrap_or_default();
        all.push(wanted_port(port, &Held::new(tables, ids, judged)));
    }
    for (name, ids) in ids {
        all.push(other_port(name, &Held::new(tables, ids, judged)));
    }
    all
}

fn wanted_port(port: &PortExplanation, held: &Held<'_>) -> PortView {
    let named: BTreeSet<FrontendKey> = port.frontends.iter().map(|one| port.key(one)).collect();
    let own = port.name_server.map(BackendKey::from);
    let listed: BTreeSet<BackendKey> = port.endpoints.iter().filter_map(key).chain(own).collect();
    let mut frontends: Vec<_> =
        port.frontends.iter().map(|one| held.frontend(port.key(one), one)).collect();
    frontends.extend(held.other_frontends(&named));
    let mut endpoints: Vec<_> = port.endpoints.iter().map(|one| held.endpoint(one, own)).collect();
    endpoints.extend(held.other_endpoints(&listed));
    PortView {
        name: port.name.clone(),
        protocol: port.protocol,
        port: port.port,
        family: port.family,
        rules: Some(Rules {
            internal_policy: port.internal_policy,
            external_policy: port.external_policy,
            node_hints: port.node_hints,
            zone_hints: port.zone_hints,
            name_server: port.name_server.map(|own| held.name_server(own)),
        }),
        frontends,
        endpoints,
    }
}

/// A port that is in the maps alone.
fn other_port(name: PortName, held: &Held<'_>) -> PortView {
    let values = held.ids.iter().filter_map(|id| held.tables.services.get(id));
    PortView {
        port: values.map(|value| value.port.number()).next().unwrap_or_default(),
        name: name.port,
        protocol: name.protocol,
        family: name.family,
        rules: None,
        frontends: held.other_frontends(&BTreeSet::new()).collect(),
        endpoints: held.other_endpoints(&BTreeSet::new()).collect(),
    }
}

/// Where an entry of a slice listens, if it is an endpoint.
fn key(endpoint: &EndpointExplanation) -> Option<BackendKey> {
    let addr = Addr::from(endpoint.address);
    port(endpoint).map(|port| BackendKey { addr, port: Port::new(port) })
}

fn port(endpoint: &EndpointExplanation) -> Option<u16> {
    match endpoint.outcome {
        Outcome::Joined { port, .. } => Some(port),
        Outcome::NotJoined(_) => None,
    }
}

impl<'a> Held<'a> {
    fn new(tables: &'a Tables, ids: BTreeSet<u32>, judged: bool) -> Self {
        let own = tables.backends.values().filter(|cell| ids.contains(&cell.service));
        let key = |cell: &BackendValue| BackendKey { addr: cell.addr, port: cell.port };
        Self { backends: own.map(|cell| (key(cell), cell)).collect(), tables, ids, judged }
    }

    fn frontend(&self, key: FrontendKey, wanted: &FrontendExplanation) -> FrontendView {
        let found = self.tables.frontends.get(&key);
        // What the Service names twice is there once.
        let held = found.is_some_and(|value| self.ids.contains(&value.service))
            && wanted.standing != Standing::Repeated;
        FrontendView {
            address: wanted.address,
            port: wanted.port,
            wanted: Some(WantedFrontend {
                field: wanted.field.to_string(),
                guarded: wanted.guarded,
                standing: wanted.standing.clone(),
            }),
            held,
            differs: held != wanted.standing.is_planned(),
        }
    }

    /// Frontends of the port that nobody named.
    fn other_frontends(&self, named: &BTreeSet<FrontendKey>) -> impl Iterator<Item = FrontendView> {
        let own =
            self.tables.frontends.iter().filter(|(_, value)| self.ids.contains(&value.service));
        own.filter(|(key, _)| !named.contains(key)).map(|(key, _)| FrontendView {
            address: (key.family == 0).then(|| key.addr.to_ip()),
            port: key.port.number(),
            wanted: None,
            held: true,
            differs: self.judged,
        })
    }

    fn name_server(&self, address: SocketAddr) -> NameServerView {
        let held = self.backends.get(&address.into());
        let is_own = held.is_some_and(|cell| cell.flags & BackendValue::AGENT != 0);
        NameServerView { address, differs: !is_own }
    }

    /// `own`: where the agent's own name server listens.
    fn endpoint(&self, wanted: &EndpointExplanation, own: Option<BackendKey>) -> EndpointView {
        let key = key(wanted);
        let held = key.and_then(|key| self.backends.get(&key).copied()).map(HeldEndpoint::from);
        let used_for = used_for(&wanted.outcome, key.is_some() && key == own);
        EndpointView {
            address: wanted.address,
            port: port(wanted),
            differs: held.as_ref().map(|held| held.used_for.clone()) != used_for,
            wanted: Some(wanted.clone()),
            held,
        }
    }

    /// Endpoints of the port that no slice lists.
    fn other_endpoints(&self, listed: &BTreeSet<BackendKey>) -> impl Iterator<Item = EndpointView> {
        self.backends.iter().filter(|(key, _)| !listed.contains(key)).map(|(key, cell)| {
            EndpointView {
                address: key.addr.to_ip(),
                port: Some(key.port.number()),
                wanted: None,
                held: Some((*cell).into()),
                differs: self.judged,
            }
        })
    }
}

impl From<&BackendValue> for HeldEndpoint {
    fn from(cell: &BackendValue) -> Self {
        Self { state: EndpointState::of(cell), used_for: sets(cell) }
    }
}

/// The sets that an endpoint should be in; `None`: it is none.
fn used_for(outcome: &Outcome, is_own: bool) -> Option<Vec<&'static str>> {
    let Outcome::Joined { cluster, local, .. } = outcome else { return None };
    let sets = [(*cluster, "cluster"), (*local, "local")];
    let used = sets.into_iter().filter(|(usage, _)| *usage == Usage::Used).map(|(_, set)| set);
    Some(used.chain(is_own.then_some(NODE)).collect())
}
