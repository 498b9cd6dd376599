//! Which endpoints a service port may use.
//!
//! An endpoint joins a service port by the port's name and protocol; the number comes from each
//! slice. Ready ones first; if there is none, those that serve while they terminate (KEP-1669),
//! decided apart for all nodes and for this one. Topology hints (KEP-2433, KEP-3015, KEP-4444)
//! narrow the set of all nodes only, and only while every ready endpoint carries one and one of
//! them fits.

use super::{Family, NodeView};
use crate::model::{Endpoint, EndpointPort, EndpointSlice, ServicePort};
use lb_common::layout::backend::BackendValue;
use lb_common::wire::{Addr, Port};
use std::collections::BTreeMap;

/// Where an endpoint listens: what makes two entries the same backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
}

/// What an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPlan {
    /// Bits of [`BackendValue`].
    pub flags: u8,
}

/// The endpoints of a service port in one family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// All of them.
    pub backends: BTreeMap<BackendKey, BackendPlan>,
    /// Those of the cluster that new connections may choose, in order.
    pub cluster: Vec<BackendKey>,
    /// Those of this node that new connections may choose, in order.
    pub local: Vec<BackendKey>,
    /// Whether any endpoint of the cluster is usable, hints aside.
    pub any_usable: bool,
}

/// One endpoint as the slices tell it.
struct Entry<'a> {
    endpoint: &'a Endpoint,
    local: bool,
}

type Entries<'a> = BTreeMap<BackendKey, Entry<'a>>;

/// Sorts the endpoints of `port`.
pub fn of<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
) -> Endpoints {
    let entries = collect(port, slices, family, node);
    let everywhere = usable(&entries, |_| true);
    let any_usable = !everywhere.is_empty();
    let cluster = hinted(&entries, node).unwrap_or(everywhere);
    let local = usable(&entries, |entry| entry.local);
    let plan = |(key, entry): (&BackendKey, &Entry<'_>)| {
        let flags = [
            (entry.local, BackendValue::LOCAL),
            (cluster.binary_search(key).is_ok(), BackendValue::IN_CLUSTER_SET),
            (local.binary_search(key).is_ok(), BackendValue::IN_LOCAL_SET),
            (entry.endpoint.ready, BackendValue::READY),
            (entry.endpoint.serving, BackendValue::SERVING),
            (entry.endpoint.terminating, BackendValue::TERMINATING),
        ];
        (*key, BackendPlan { flags: flags.iter().filter(|(is, _)| *is).map(|(_, bit)| bit).sum() })
    };
    let backends = entries.iter().map(plan).collect();
    Endpoints { backends, cluster, local, any_usable }
}

/// The endpoints by address and port, each once.
fn collect<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
) -> Entries<'a> {
    let mut entries = Entries::new();
    for (key, endpoint) in slices.flat_map(|slice| joined(port, slice)) {
        let local = endpoint.node.as_deref().is_some_and(|name| name == node.name);
        let entry = Entry { endpoint, local };
        let known = entries.get(&key);
        if Family::of(key.addr) == family
            && known.is_none_or(|known| entry.standing() > known.standing())
        {
            entries.insert(key, entry);
        }
    }
    entries
}

/// The endpoints of a slice at the ports that belong to the service port.
fn joined<'a>(
    port: &ServicePort,
    slice: &'a EndpointSlice,
) -> impl Iterator<Item = (BackendKey, &'a Endpoint)> {
    let own = |other: &&EndpointPort| other.name == port.name && other.protocol == port.protocol;
    slice.ports.iter().filter(own).flat_map(|own| {
        let port = Port::new(own.port);
        let key = move |endpoint: &Endpoint| BackendKey { addr: endpoint.address.into(), port };
        slice.endpoints.iter().map(move |endpoint| (key(endpoint), endpoint))
    })
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

/// The entries of `within` that are ready; if there is none, those that serve while terminating.
/// An endpoint that is merely not ready is never usable.
fn usable(entries: &Entries<'_>, within: fn(&Entry<'_>) -> bool) -> Vec<BackendKey> {
    let keys = |wanted: fn(&Endpoint) -> bool| -> Vec<BackendKey> {
        let found = entries.iter().filter(|(_, entry)| within(entry) && wanted(entry.endpoint));
        found.map(|(key, _)| *key).collect()
    };
    let ready = keys(|endpoint| endpoint.ready);
    if ready.is_empty() { keys(|endpoint| endpoint.serving && endpoint.terminating) } else { ready }
}

/// The ready endpoints that are meant for this node, or else for its zone; `None` if hints do not
/// apply.
fn hinted(entries: &Entries<'_>, node: &NodeView) -> Option<Vec<BackendKey>> {
    let zone = || meant_for(entries, node.zone.as_deref()?, |endpoint| &endpoint.hint_zones);
    meant_for(entries, &node.name, |endpoint| &endpoint.hint_nodes).or_else(zone)
}

/// The ready endpoints whose hints name `place`; `None` if there is none, or if one has no hint.
fn meant_for(
    entries: &Entries<'_>,
    place: &str,
    hints: fn(&Endpoint) -> &[String],
) -> Option<Vec<BackendKey>> {
    let mut keys = Vec::new();
    for (key, entry) in entries.iter().filter(|(_, entry)| entry.endpoint.ready) {
        let hints = hints(entry.endpoint);
        if hints.is_empty() {
            return None;
        }
        keys.extend(hints.iter().any(|hint| hint == place).then_some(*key));
    }
    (!keys.is_empty()).then_some(keys)
}
