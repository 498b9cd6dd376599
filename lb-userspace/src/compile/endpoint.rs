//! Which endpoints a service port may use.
//!
//! An endpoint joins a service port by the port's name and protocol; the number comes from each
//! slice. Ready ones first; if there is none, those that serve while they terminate (KEP-1669),
//! decided apart for all nodes and for this one. Topology hints (KEP-2433, KEP-4444) narrow the
//! first set only, and only when every ready endpoint carries one that can be followed.

use super::{Family, NodeView};
use crate::model::{Endpoint, EndpointSlice, ServicePort};
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

impl BackendPlan {
    fn has(&self, bits: u8) -> bool {
        self.flags & bits == bits
    }
}

/// The endpoints of a service port in one family.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Endpoints {
    /// All of them.
    pub backends: BTreeMap<BackendKey, BackendPlan>,
    /// The usable ones of the cluster.
    pub cluster: Vec<BackendKey>,
    /// The usable ones of this node.
    pub local: Vec<BackendKey>,
    /// Whether any endpoint is usable at all, hints aside.
    pub any_usable: bool,
}

/// One endpoint as the slices tell it.
struct Entry<'a> {
    endpoint: &'a Endpoint,
    local: bool,
}

/// Sorts the endpoints of `port`.
pub fn of<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
) -> Endpoints {
    let entries = collect(port, slices, family, node);
    let ready = |e: &Entry<'_>| e.endpoint.ready;
    let serving = |e: &Entry<'_>| e.endpoint.serving && e.endpoint.terminating;
    let all = |_: &Entry<'_>| true;
    let here = |e: &Entry<'_>| e.local;
    let usable = first_not_empty(&entries, all, ready, serving);
    let local = first_not_empty(&entries, here, ready, serving);
    let cluster = hinted(&entries, node).unwrap_or_else(|| usable.clone());
    let backends = entries.iter().map(|(key, entry)| {
        let sets = [
            (cluster.contains(key), BackendValue::IN_CLUSTER_SET),
            (local.contains(key), BackendValue::IN_LOCAL_SET),
        ];
        let in_sets = sets.iter().filter(|(is, _)| *is).fold(0, |flags, (_, bit)| flags | bit);
        (*key, BackendPlan { flags: conditions(entry) | in_sets })
    });
    Endpoints { backends: backends.collect(), any_usable: !usable.is_empty(), cluster, local }
}

/// The endpoints by address and port. The same address and port twice is one backend, and the
/// entry that is not terminating wins.
fn collect<'a>(
    port: &ServicePort,
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    node: &NodeView,
) -> BTreeMap<BackendKey, Entry<'a>> {
    let mut entries = BTreeMap::<BackendKey, Entry<'a>>::new();
    for slice in slices {
        for slice_port in &slice.ports {
            if slice_port.name != port.name || slice_port.protocol != port.protocol {
                continue;
            }
            for endpoint in &slice.endpoints {
                let addr = Addr::from(endpoint.address);
                if Family::of(addr) != family {
                    continue;
                }
                let key = BackendKey { addr, port: Port::new(slice_port.port) };
                let local = endpoint.node.as_deref().is_some_and(|name| name == node.name);
                let entry = Entry { endpoint, local };
                match entries.get(&key) {
                    Some(known) if !supersedes(&entry, known) => {}
                    _ => drop(entries.insert(key, entry)),
                }
            }
        }
    }
    entries
}

fn supersedes(new: &Entry<'_>, known: &Entry<'_>) -> bool {
    known.endpoint.terminating && !new.endpoint.terminating
}

/// The entries of `within` that are `first`, or if there is none, those that are `second`.
fn first_not_empty(
    entries: &BTreeMap<BackendKey, Entry<'_>>,
    within: impl Fn(&Entry<'_>) -> bool,
    first: impl Fn(&Entry<'_>) -> bool,
    second: impl Fn(&Entry<'_>) -> bool,
) -> Vec<BackendKey> {
    let keys = |wanted: &dyn Fn(&Entry<'_>) -> bool| -> Vec<BackendKey> {
        entries.iter().filter(|(_, e)| within(e) && wanted(e)).map(|(key, _)| *key).collect()
    };
    let found = keys(&first);
    if found.is_empty() { keys(&second) } else { found }
}

/// The ready endpoints that are meant for this node, or else for its zone; `None` if hints do not
/// apply.
fn hinted(entries: &BTreeMap<BackendKey, Entry<'_>>, node: &NodeView) -> Option<Vec<BackendKey>> {
    let by = |hints: fn(&Endpoint) -> &[String], place: &str| -> Option<Vec<BackendKey>> {
        let ready: Vec<_> = entries.iter().filter(|(_, e)| e.endpoint.ready).collect();
        if ready.iter().any(|(_, e)| hints(e.endpoint).is_empty()) {
            return None;
        }
        let meant =
            ready.iter().filter(|(_, e)| hints(e.endpoint).iter().any(|hint| hint == place));
        let keys: Vec<_> = meant.map(|(key, _)| **key).collect();
        (!keys.is_empty()).then_some(keys)
    };
    by(|e| &e.hint_nodes, &node.name)
        .or_else(|| node.zone.as_deref().and_then(|zone| by(|e| &e.hint_zones, zone)))
}

fn conditions(entry: &Entry<'_>) -> u8 {
    let Entry { endpoint, local } = entry;
    let bits = [
        (*local, BackendValue::LOCAL),
        (endpoint.ready, BackendValue::READY),
        (endpoint.serving, BackendValue::SERVING),
        (endpoint.terminating, BackendValue::TERMINATING),
    ];
    bits.iter().filter(|(holds, _)| *holds).fold(0, |flags, (_, bit)| flags | bit)
}

impl Endpoints {
    /// Whether the endpoint at `key` serves, ready or not.
    pub fn serves(&self, key: &BackendKey) -> bool {
        self.backends.get(key).is_some_and(|backend| backend.has(BackendValue::SERVING))
    }
}
