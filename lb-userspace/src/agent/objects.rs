//! The objects of the cluster as the agent knows them, and which of them changed.

use crate::model::{Change, EndpointSlice, Node, ObjectName, Problem, Service, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// The objects, and which Services have to be looked at anew.
#[derive(Default)]
pub(super) struct Objects {
    snapshot: Snapshot,
    /// The Service of every slice, by the slice's name.
    slice_owners: BTreeMap<ObjectName, ObjectName>,
    changed: BTreeSet<ObjectName>,
    synced: bool,
    problems: Vec<Problem>,
    /// What a Service without slices has.
    none: BTreeMap<String, EndpointSlice>,
}

impl Objects {
    /// Nothing is known but the node's name.
    pub(super) fn new(node: &str) -> Self {
        let mut objects = Self::default();
        node.clone_into(&mut objects.snapshot.node.name);
        objects
    }

    /// Whether a change changes anything: a watch that begins again tells all objects once more.
    pub(super) fn is_news(&self, change: &Change) -> bool {
        match change {
            Change::Service(name, service) => {
                self.snapshot.services.get(name) != service.as_deref()
            }
            Change::Slice(name, slice) => self.slice(name) != slice.as_ref(),
            Change::Node(node) => self.snapshot.node != *node,
            Change::Problems(_) | Change::Synced | Change::Watched(..) => true,
        }
    }

    fn slice(&self, name: &ObjectName) -> Option<&EndpointSlice> {
        self.snapshot.slices.get(self.owner(name)?)?.get(&name.name)
    }

    /// Takes in a change of the model. True: the node may be another one.
    pub(super) fn take_in(&mut self, change: Change) -> bool {
        match change {
            Change::Service(name, service) => {
                set(&mut self.snapshot.services, name.clone(), service.map(|service| *service));
                self.changed.insert(name);
            }
            Change::Slice(name, slice) => self.change_slice(&name, slice),
            Change::Node(node) => {
                self.snapshot.node = node;
                return true;
            }
            Change::Problems(problems) => self.problems = problems,
            Change::Synced => self.synced = true,
            Change::Watched(..) => {}
        }
        false
    }

    fn change_slice(&mut self, name: &ObjectName, slice: Option<EndpointSlice>) {
        let owner = slice.as_ref().map(|slice| service_of(name, slice));
        let before = self.slice_owners.remove(name);
        // A slice may have moved to another Service.
        if let Some(before) = before.filter(|before| Some(before) != owner.as_ref()) {
            if let Some(slices) = self.snapshot.slices.get_mut(&before) {
                slices.remove(&name.name);
                if slices.is_empty() {
                    self.snapshot.slices.remove(&before);
                }
            }
            self.changed.insert(before);
        }
        if let (Some(owner), Some(slice)) = (owner, slice) {
            let slices = self.snapshot.slices.entry(owner.clone()).or_default();
            slices.insert(name.name.clone(), slice);
            self.slice_owners.insert(name.clone(), owner.clone());
            self.changed.insert(owner);
        }
    }

    /// The Service of a slice that is known.
    pub(super) fn owner(&self, slice: &ObjectName) -> Option<&ObjectName> {
        self.slice_owners.get(slice)
    }

    /// Whether some Services have to be looked at anew.
    pub(super) fn have_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether everything that exists was told.
    pub(super) fn are_known(&self) -> bool {
        self.synced
    }

    /// This node.
    pub(super) fn node(&self) -> &Node {
        &self.snapshot.node
    }

    /// What is wrong with objects.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A Service, if it is there, and its slices.
    pub(super) fn service(
        &self,
        name: &ObjectName,
    ) -> (Option<&Service>, &BTreeMap<String, EndpointSlice>) {
        let slices = self.snapshot.slices.get(name).unwrap_or(&self.none);
        (self.snapshot.services.get(name), slices)
    }

    /// All Services.
    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.snapshot.services.values()
    }

    /// All Services have to be looked at anew.
    pub(super) fn look_at_all(&mut self) {
        self.changed.extend(self.snapshot.services.keys().cloned());
    }

    /// The Services that have to be looked at anew; from now on they were.
    pub(super) fn take_changed(&mut self) -> BTreeSet<ObjectName> {
        std::mem::take(&mut self.changed)
    }
}

/// The Service that a slice of this name belongs to.
pub(super) fn service_of(name: &ObjectName, slice: &EndpointSlice) -> ObjectName {
    ObjectName::new(&name.namespace, &slice.service)
}

/// Sets or removes an entry.
pub(super) fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::delivered;
    use serde_json::json;

    /// A slice of `service` that the API server tells.
    fn slice(service: &str, address: &str) -> Change {
        let labels = json!({"kubernetes.io/service-name": service});
        let object = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "s", "namespace": "shop", "labels": labels},
            "addressType": "IPv4", "endpoints": [{"addresses": [address]}]});
        delivered(&object).unwrap().pop().unwrap().change
    }

    fn service(ip: &str) -> Change {
        let object = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"clusterIPs": [ip], "ports": [{"port": 80}]}});
        delivered(&object).unwrap().pop().unwrap().change
    }

    #[test]
    fn what_is_told_again_is_no_news() {
        let mut objects = Objects::new("node-a");
        for (change, is_news) in [
            (Change::Service(ObjectName::new("shop", "web"), None), false),
            (service("10.96.0.1"), true),
            (service("10.96.0.1"), false),
            (service("10.96.0.2"), true),
            (Change::Slice(ObjectName::new("shop", "s"), None), false),
            (slice("web", "10.244.0.1"), true),
            (slice("web", "10.244.0.1"), false),
            (slice("web", "10.244.0.2"), true),
            (slice("db", "10.244.0.2"), true),
            (Change::Slice(ObjectName::new("shop", "s"), None), true),
            (Change::Node(Node { name: "node-a".to_owned(), ..Node::default() }), false),
            (Change::Node(Node { eligible: true, ..Node::default() }), true),
        ] {
            assert_eq!(objects.is_news(&change), is_news, "{change:?}");
            objects.take_in(change);
        }
    }
}
