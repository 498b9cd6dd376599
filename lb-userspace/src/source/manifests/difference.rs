//! Two snapshots to the changes between them, compared by value.
//!
//! New endpoints come before the Services that want them and go after those that had them, so that
//! whoever applies the changes one by one never sees a Service without the endpoints it has.

use crate::model::{Change, EndpointSlice, ObjectName, Service, Snapshot};
use std::collections::BTreeMap;

/// What leads from `old` to `new`.
pub(super) fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let (old_slices, new_slices) = (by_name(old), by_name(new));
    let node = (old.node != new.node).then(|| Change::Node(new.node.clone()));
    let mut changes: Vec<Change> = node.into_iter().collect();
    changes
        .extend(set(&old_slices, &new_slices).map(|(name, slice)| slice_change(name, Some(slice))));
    let services = (refs(&old.services), refs(&new.services));
    changes.extend(
        set(&services.0, &services.1).map(|(name, service)| service_change(name, Some(service))),
    );
    changes.extend(gone(&services.0, &services.1).map(|name| service_change(name, None)));
    changes.extend(gone(&old_slices, &new_slices).map(|name| slice_change(&name, None)));
    changes
}

/// Slices by their own names, whichever Service they belong to.
fn by_name(snapshot: &Snapshot) -> BTreeMap<ObjectName, &EndpointSlice> {
    let slices = snapshot.slices.values().flat_map(BTreeMap::values);
    slices.map(|slice| (slice.name.clone(), slice)).collect()
}

fn refs(services: &BTreeMap<ObjectName, Service>) -> BTreeMap<&ObjectName, &Service> {
    services.iter().collect()
}

fn set<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, &'a V>,
    new: &'a BTreeMap<K, &'a V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    new.iter()
        .filter(|(name, value)| old.get(name) != Some(value))
        .map(|(name, value)| (name, *value))
}

fn gone<'a, K: Ord + Clone, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = K> + 'a {
    old.keys().filter(|name| !new.contains_key(name)).cloned()
}

fn slice_change(name: &ObjectName, slice: Option<&EndpointSlice>) -> Change {
    Change::Slice(name.clone(), slice.cloned())
}

fn service_change(name: &ObjectName, service: Option<&Service>) -> Change {
    Change::Service(name.clone(), service.cloned().map(Box::new))
}
