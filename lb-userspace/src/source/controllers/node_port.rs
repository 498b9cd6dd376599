//! Node ports: what kube-apiserver's port allocator does.
//!
//! A number belongs to one Service per protocol, so that TCP and UDP may share it. The search for a
//! free one starts at a hash of Service and port without the protocol: a DNS Service gets the same
//! number for both where it can.

use crate::model::{ObjectName, Protocol, ServicePort, ServiceType, TrafficPolicy};
use crate::source::controllers::draft::Draft;
use crate::source::controllers::hash::fnv1a;
use crate::source::controllers::memory::Memory;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Something that needs a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    service: ObjectName,
    /// `spec.ports[i]`, or the health check.
    place: Place,
    protocol: Protocol,
    /// Names the claim over restarts: `80/TCP`, `health`.
    label: String,
    /// Where the search starts.
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Port(usize),
    HealthCheck,
}

/// Numbers and who has them.
type Taken = BTreeMap<(u16, Protocol), ObjectName>;

/// Gives every Service the node ports it wants, and `memory` the result.
pub(super) fn assign(
    drafts: &mut BTreeMap<ObjectName, Draft>,
    range: &RangeInclusive<u16>,
    memory: &mut Memory,
) {
    let mut taken = Taken::new();
    let mut open = Vec::new();
    let held = memory.all_ports();
    let in_use = in_use(drafts, memory);
    for draft in drafts.values_mut() {
        drop_unfitting(draft);
        for claim in claims(draft) {
            if !keep_explicit(draft, &claim, range, (&in_use, &mut taken)) {
                open.push(claim);
            }
        }
    }
    open.retain(|claim| {
        let number =
            memory.port(&claim.service, &claim.label).filter(|number| range.contains(number));
        !give(drafts, claim, number, &mut taken)
    });
    open.retain(|claim| {
        let number = search(range, claim, &taken, &held)
            .or_else(|| search(range, claim, &taken, &BTreeSet::new()));
        !give(drafts, claim, number, &mut taken)
    });
    for claim in open {
        if let Some(draft) = drafts.get_mut(&claim.service) {
            let path = claim.place.path(draft);
            draft.report.add(path, "no node port is free, so it gets none");
        }
    }
    remember(drafts, memory);
}

/// Numbers that Services had before and still want: no newcomer takes them, explicit or not.
fn in_use(drafts: &BTreeMap<ObjectName, Draft>, memory: &Memory) -> Taken {
    let mut held = Taken::new();
    for draft in drafts.values().filter(|draft| can_have_node_ports(draft)) {
        let (service, wants) = (&draft.service, wants_node_ports(draft));
        for port in &service.ports {
            let had = memory.port(&service.name, &label(port));
            let wanted = had.filter(|number| port.node_port.map_or(wants, |own| own == *number));
            held.extend(wanted.map(|number| ((number, port.protocol), service.name.clone())));
        }
    }
    held
}

/// A number of a Service that is not programmed at all.
fn drop_unfitting(draft: &mut Draft) {
    if can_have_node_ports(draft) {
        return;
    }
    for index in 0..draft.service.ports.len() {
        let place = Place::Port(index);
        if place.slot(draft).and_then(Option::take).is_some() {
            let path = place.path(draft);
            draft.report.add(path, "means nothing without a ClusterIP and is ignored");
        }
    }
}

/// A written number counts whatever the type.
fn can_have_node_ports(draft: &Draft) -> bool {
    draft.service.kind != ServiceType::ExternalName && !draft.service.headless
}

/// Whether ports without a number are given one.
fn wants_node_ports(draft: &Draft) -> bool {
    match draft.service.kind {
        ServiceType::NodePort => true,
        ServiceType::LoadBalancer => draft.wants_node_ports,
        ServiceType::ClusterIP | ServiceType::ExternalName => false,
    }
}

fn has_health_check(draft: &Draft) -> bool {
    let service = &draft.service;
    service.kind == ServiceType::LoadBalancer
        && service.external_policy == TrafficPolicy::Local
        && !service.headless
}

/// What the Service wants or has: a number for each port, and one for its health check.
fn claims(draft: &Draft) -> Vec<Claim> {
    let wants = wants_node_ports(draft);
    let mut claims = Vec::new();
    if can_have_node_ports(draft) {
        let ports = draft
            .service
            .ports
            .iter()
            .enumerate()
            .filter(|(_, port)| wants || port.node_port.is_some());
        claims.extend(ports.map(|(index, port)| Claim::of_port(draft, index, port)));
    }
    if has_health_check(draft) {
        claims.push(Claim::new(
            draft,
            Place::HealthCheck,
            Protocol::Tcp,
            "health".to_owned(),
            "health",
        ));
    }
    claims
}

impl Claim {
    fn of_port(draft: &Draft, index: usize, port: &ServicePort) -> Self {
        let label = label(port);
        Self::new(draft, Place::Port(index), port.protocol, label, &port.port.to_string())
    }

    fn new(draft: &Draft, place: Place, protocol: Protocol, label: String, seed: &str) -> Self {
        let service = draft.service.name.clone();
        let seed = fnv1a(&format!("{service}:{seed}"));
        Self { service, place, protocol, label, seed }
    }
}

fn label(port: &ServicePort) -> String {
    format!("{}/{}", port.port, port.protocol.name())
}

impl Place {
    fn path(self, draft: &Draft) -> String {
        match self {
            Self::Port(index) => format!("{}.nodePort", draft.port_path(index)),
            Self::HealthCheck => "spec.healthCheckNodePort".to_owned(),
        }
    }

    fn slot(self, draft: &mut Draft) -> Option<&mut Option<u16>> {
        match self {
            Self::Port(index) => draft.service.ports.get_mut(index).map(|port| &mut port.node_port),
            Self::HealthCheck => Some(&mut draft.service.health_check_node_port),
        }
    }
}

/// Settles a claim that names its number; false if it names none. One that cannot be had is
/// dropped and gets no other in its place: nobody would ask there.
fn keep_explicit(
    draft: &mut Draft,
    claim: &Claim,
    range: &RangeInclusive<u16>,
    (in_use, taken): (&Taken, &mut Taken),
) -> bool {
    let Some(slot) = claim.place.slot(draft) else {
        return true;
    };
    let Some(number) = *slot else { return false };
    let key = (number, claim.protocol);
    let held = in_use.get(&key).filter(|holder| **holder != claim.service);
    let message = match taken.get(&key).or(held) {
        Some(owner) => format!("{number} belongs to Service {owner} already, so it gets none"),
        None if range.contains(&number) => {
            taken.insert(key, claim.service.clone());
            return true;
        }
        None => {
            format!("{number} is not within {} to {}, so it gets none", range.start(), range.end())
        }
    };
    *slot = None;
    let path = claim.place.path(draft);
    draft.report.add(path, message);
    true
}

fn give(
    drafts: &mut BTreeMap<ObjectName, Draft>,
    claim: &Claim,
    number: Option<u16>,
    taken: &mut Taken,
) -> bool {
    let Some(number) = number.filter(|&number| !taken.contains_key(&(number, claim.protocol)))
    else {
        return false;
    };
    let Some(slot) = drafts.get_mut(&claim.service).and_then(|draft| claim.place.slot(draft))
    else {
        return false;
    };
    *slot = Some(number);
    taken.insert((number, claim.protocol), claim.service.clone());
    true
}

fn search(
    range: &RangeInclusive<u16>,
    claim: &Claim,
    taken: &Taken,
    held: &BTreeSet<u16>,
) -> Option<u16> {
    let len = u64::try_from(range.len()).ok().filter(|&len| len > 0)?;
    let start = range.start().saturating_add(u16::try_from(claim.seed % len).ok()?);
    let mut numbers = (start..=*range.end()).chain(*range.start()..start);
    numbers.find(|number| !taken.contains_key(&(*number, claim.protocol)) && !held.contains(number))
}

fn remember(drafts: &BTreeMap<ObjectName, Draft>, memory: &mut Memory) {
    for draft in drafts.values() {
        let service = &draft.service;
        let ports = service.ports.iter().filter_map(|port| Some((label(port), port.node_port?)));
        let health = service.health_check_node_port.map(|number| ("health".to_owned(), number));
        memory.remember_ports(&service.name, ports.chain(health).collect());
    }
    debug_assert!(all_distinct(drafts), "every number belongs to one port");
}

fn all_distinct(drafts: &BTreeMap<ObjectName, Draft>) -> bool {
    let mut seen = BTreeSet::new();
    let ports = drafts.values().flat_map(|draft| &draft.service.ports);
    ports.filter_map(|port| Some((port.node_port?, port.protocol))).all(|key| seen.insert(key))
}
