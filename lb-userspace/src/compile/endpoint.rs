//! Which endpoints a service port may use, and why not the others.
//!
//! An endpoint joins a service port by the port's name and protocol; the number comes from each
//! slice. Ready ones first; if there is none, those that serve while they terminate (KEP-1669),
//! decided apart for all nodes and for this one. Topology hints (KEP-2433, KEP-3015, KEP-4444)
//! narrow the set of all nodes only, and only while every ready endpoint carries one and one of
//! them fits. Each endpoint gets its reason, and the sets are those whose reason is "used".

use super::reason::{HintUse, Unjoined, Usage};
use super::{Family, NodeView};
use crate::model::{Endpoint, EndpointPort, EndpointSlice, ServicePort};
use lb_common::layout::backend::BackendValue;
use lb_common::wire::{Addr, Port};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Where an endpoint listens: what makes two entries the same backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
}

impl From<SocketAddr> for BackendKey {
    fn from(addr: SocketAddr) -> Self {
        Self { addr: addr.ip().into(), port: Port::new(addr.port()) }
    }
}

impl From<BackendKey> for SocketAddr {
    fn from(key: BackendKey) -> Self {
        Self::new(key.addr.to_ip(), key.port.number())
    }
}

/// What an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPlan {
    /// Bits of [`BackendValue`].
    pub flags: u8,
    /// Whether new connections may choose it where no `Local` policy applies.
    pub cluster: Usage,
    /// Whether they may where one does.
    pub local: Usage,
}

/// Which sets of endpoints a service port ever chooses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// Those of all nodes.
    pub cluster: bool,
    /// Those of this node.
    pub local: bool,
}

/// How far topology hints narrow the set of all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// `hints.forNodes`, asked first.
    pub node: HintUse,
    /// `hints.forZones`.
    pub zone: HintUse,
}

/// The endpoints of a service port in one family.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints {
    /// All of them.
    pub backends: BTreeMap<BackendKey, BackendPlan>,
    /// Those of the cluster that new connections may choose, in order.
    pub cluster: Vec<BackendKey>,
    /// Those of this node that new connections may choose, in order.
    pub local: Vec<BackendKey>,
    /// Whether any endpoint of the cluster is usable, hints aside.
    pub any_usable: bool,
    /// What topology hints do.
    pub hints: Hints,
}

/// An entry of a slice, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed<'a> {
    /// The slice.
    pub slice: &'a EndpointSlice,
    /// The entry.
    pub endpoint: &'a Endpoint,
    /// Whether it is an endpoint of the port.
    pub outcome: Outcome,
}

/// Whether an entry of a slice is an endpoint of a service port, and who may choose it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is one.
    Joined {
        /// Where it listens.
        port: u16,
        /// Whether new connections may choose it where no `Local` policy applies.
        cluster: Usage,
        /// Whether they may where one does.
        local: Usage,
    },
    /// It is none.
    NotJoined(Unjoined),
}

impl Outcome {
    /// The reason for people: one if both sets have the same, else one for each.
    pub fn sentence(&self) -> String {
        match self {
            Self::Joined { cluster, local, .. } if cluster == local => {
                cluster.sentence().to_owned()
            }
            Self::Joined { cluster, local, .. } => {
                format!("cluster: {}; local: {}", cluster.sentence(), local.sentence())
            }
            Self::NotJoined(why) => why.sentence(),
        }
    }
}

/// One endpoint as the slices tell it.
struct Entry<'a> {
    slice: &'a EndpointSlice,
    endpoint: &'a Endpoint,
    local: bool,
}

type Entries<'a> = BTreeMap<BackendKey, Entry<'a>>;

/// Sorts the endpoints of `port`, of which only the sets that it `uses` are filled.
pub fn of<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
    uses: Uses,
) -> Endpoints {
    select(&collect(port, slices, family, node, &mut |_, _, _| ()), node, uses)
}

/// The same, and what became of every entry of every slice.
pub fn with_entries<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
    uses: Uses,
) -> (Endpoints, Vec<Listed<'a>>) {
    let mut listed = Vec::new();
    let entries = collect(port, slices, family, node, &mut |slice, endpoint, why| {
        listed.push(Listed { slice, endpoint, outcome: Outcome::NotJoined(why) });
    });
    let endpoints = select(&entries, node, uses);
    // Both are in the order of their keys.
    for ((key, Entry { slice, endpoint, .. }), plan) in
        entries.iter().zip(endpoints.backends.values())
    {
        let BackendPlan { cluster, local, .. } = *plan;
        let outcome = Outcome::Joined { port: key.port.number(), cluster, local };
        listed.push(Listed { slice, endpoint, outcome });
    }
    (endpoints, listed)
}

/// The endpoints by address and port, each once; entries that are none of them go to `reject`.
fn collect<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
    reject: &mut impl FnMut(&'a EndpointSlice, &'a Endpoint, Unjoined),
) -> Entries<'a> {
    let mut entries = Entries::new();
    for slice in slices {
        let own = |other: &&EndpointPort| is_same(other, port);
        let ports = slice.ports.iter().filter(own).map(|own| Port::new(own.port));
        let mismatch = ports.clone().next().is_none().then(|| mismatch(port, slice));
        for endpoint in &slice.endpoints {
            if Family::of(endpoint.address.into()) != family {
                reject(slice, endpoint, Unjoined::OtherFamily);
            } else if let Some(mismatch) = &mismatch {
                reject(slice, endpoint, mismatch.clone());
            } else {
                for port in ports.clone() {
                    let key = BackendKey { addr: endpoint.address.into(), port };
                    let entry = Entry { slice, endpoint, local: node.has(endpoint) };
                    insert(&mut entries, key, entry, reject);
                }
            }
        }
    }
    entries
}

fn is_same(other: &EndpointPort, port: &ServicePort) -> bool {
    other.name == port.name && other.protocol == port.protocol
}

fn mismatch(port: &ServicePort, slice: &EndpointSlice) -> Unjoined {
    if slice.ports.iter().any(|other| other.name == port.name) {
        Unjoined::OtherProtocol
    } else {
        Unjoined::OtherPort
    }
}

/// Adds an entry, unless another of the same address and port counts more.
fn insert<'a>(
    entries: &mut Entries<'a>,
    key: BackendKey,
    entry: Entry<'a>,
    reject: &mut impl FnMut(&'a EndpointSlice, &'a Endpoint, Unjoined),
) {
    let counts = entries.get(&key).is_none_or(|known| entry.standing() > known.standing());
    let loser = if counts { entries.insert(key, entry) } else { Some(entry) };
    if let (Some(Entry { slice, endpoint, .. }), Some(winner)) = (loser, entries.get(&key)) {
        reject(slice, endpoint, Unjoined::Duplicate(winner.slice.name.name.clone()));
    }
}

impl Entry<'_> {
    /// The larger one counts where slices tell the same endpoint twice: while it moves from one
    /// slice to another, either may be behind. That it is not terminating comes first, as with
    /// kube-proxy; the rest makes the answer independent of the slices' order.
    fn standing(&self) -> (bool, bool, bool, bool) {
        let Endpoint { ready, serving, terminating, .. } = self.endpoint;
        (!terminating, *ready, *serving, self.local)
    }
}

/// Gives every endpoint its reasons, and makes the sets of those that are used.
fn select(entries: &Entries<'_>, node: &NodeView, uses: Uses) -> Endpoints {
    let choice = Choice::of(entries, node, uses);
    let plan = |(key, entry): (&BackendKey, &Entry<'_>)| {
        let (cluster, local) = (choice.cluster(entry), choice.local(entry));
        (*key, BackendPlan { flags: flags(entry, cluster, local), cluster, local })
    };
    let backends: BTreeMap<BackendKey, BackendPlan> = entries.iter().map(plan).collect();
    let used = |usage: fn(&BackendPlan) -> Usage| {
        let used = backends.iter().filter(|(_, plan)| usage(plan) == Usage::Used);
        used.map(|(key, _)| *key).collect()
    };
    Endpoints {
        cluster: used(|plan| plan.cluster),
        local: used(|plan| plan.local),
        any_usable: entries.values().any(|entry| choice.is_usable(entry)),
        hints: choice.hints,
        backends,
    }
}

/// What the reasons depend on besides the endpoint itself.
struct Choice<'a> {
    node: &'a NodeView,
    uses: Uses,
    hints: Hints,
    any_ready: bool,
    any_ready_here: bool,
}

impl<'a> Choice<'a> {
    fn of(entries: &Entries<'_>, node: &'a NodeView, uses: Uses) -> Self {
        let mut ready = entries.values().filter(|entry| entry.endpoint.ready).peekable();
        Self {
            node,
            uses,
            hints: Hints::of(entries, node, uses),
            any_ready: ready.peek().is_some(),
            any_ready_here: ready.any(|entry| entry.local),
        }
    }

    fn is_usable(&self, entry: &Entry<'_>) -> bool {
        usage(entry.endpoint, self.any_ready) == Usage::Used
    }

    fn cluster(&self, entry: &Entry<'_>) -> Usage {
        if !self.uses.cluster {
            Usage::SetUnused
        } else if self.is_usable(entry) && !self.hints.allow(entry.endpoint, self.node) {
            Usage::HintedElsewhere
        } else {
            usage(entry.endpoint, self.any_ready)
        }
    }

    fn local(&self, entry: &Entry<'_>) -> Usage {
        if !self.uses.local {
            Usage::SetUnused
        } else if !entry.local {
            Usage::OnAnotherNode
        } else {
            usage(entry.endpoint, self.any_ready_here)
        }
    }
}

/// Ready endpoints; if there is none, those that serve while terminating. An endpoint that is
/// merely not ready is never used.
fn usage(endpoint: &Endpoint, any_ready: bool) -> Usage {
    match endpoint {
        Endpoint { ready: true, .. } => Usage::Used,
        Endpoint { terminating: false, .. } => Usage::NotReady,
        Endpoint { serving: false, .. } => Usage::NotServing,
        Endpoint { .. } if any_ready => Usage::NotNeeded,
        Endpoint { .. } => Usage::Used,
    }
}

fn flags(entry: &Entry<'_>, cluster: Usage, local: Usage) -> u8 {
    let flags = [
        (entry.local, BackendValue::LOCAL),
        (cluster == Usage::Used, BackendValue::IN_CLUSTER_SET),
        (local == Usage::Used, BackendValue::IN_LOCAL_SET),
        (entry.endpoint.ready, BackendValue::READY),
        (entry.endpoint.serving, BackendValue::SERVING),
        (entry.endpoint.terminating, BackendValue::TERMINATING),
    ];
    flags.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum()
}

impl Hints {
    /// Hints for nodes come before hints for zones, and either counts only as a whole.
    fn of(entries: &Entries<'_>, node: &NodeView, uses: Uses) -> Self {
        if !uses.cluster {
            return Self { node: HintUse::NotAsked, zone: HintUse::NotAsked };
        }
        let by_node = hint_use(entries, Some(&node.name), |endpoint| &endpoint.hint_nodes);
        if by_node == HintUse::Followed {
            return Self { node: by_node, zone: HintUse::NotAsked };
        }
        let zone = hint_use(entries, node.zone.as_ref(), |endpoint| &endpoint.hint_zones);
        Self { node: by_node, zone }
    }

    /// Whether a ready endpoint is meant for this node, if that is asked.
    fn allow(self, endpoint: &Endpoint, node: &NodeView) -> bool {
        match self {
            Self { node: HintUse::Followed, .. } => endpoint.hint_nodes.contains(&node.name),
            Self { zone: HintUse::Followed, .. } => {
                node.zone.as_ref().is_some_and(|zone| endpoint.hint_zones.contains(zone))
            }
            Self { .. } => true,
        }
    }
}

/// Whether hints narrow the choice to what is meant for `place`.
fn hint_use(
    entries: &Entries<'_>,
    place: Option<&String>,
    hints: fn(&Endpoint) -> &[String],
) -> HintUse {
    let mut found = Found::default();
    for (key, entry) in entries.iter().filter(|(_, entry)| entry.endpoint.ready) {
        let own = hints(entry.endpoint);
        found.ready = true;
        found.fits |= place.is_some_and(|place| own.contains(place));
        if own.is_empty() {
            found.without = found.without.or(Some(*key));
        } else {
            found.with = true;
        }
    }
    match (found, place) {
        (Found { ready: false, .. }, _) => HintUse::NobodyReady,
        (Found { with: false, .. }, _) => HintUse::Absent,
        (Found { without: Some(key), .. }, _) => HintUse::Missing(key.into()),
        (_, None) => HintUse::NoZone,
        (Found { fits: true, .. }, _) => HintUse::Followed,
        (Found { .. }, _) => HintUse::NoneFits,
    }
}

/// What ready endpoints have of hints of one kind.
#[derive(Default)]
struct Found {
    ready: bool,
    /// One has some.
    with: bool,
    /// This one has none.
    without: Option<BackendKey>,
    /// One is meant for the place.
    fits: bool,
}
