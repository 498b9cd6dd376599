//! Changes of the model into the index, one Service at a time.

use super::Zone;
use super::entry::{Entry, Facts, Slice};
use crate::model::{Change, EndpointSlice, ObjectName, Service};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The one who writes a zone: what it keeps of the objects is what DNS needs of them.
#[derive(Debug)]
pub struct Writer {
    zone: Arc<Zone>,
    services: HashMap<ObjectName, Facts>,
    /// By the Service they belong to, then by their own name.
    slices: HashMap<ObjectName, BTreeMap<String, Slice>>,
    /// The Service of every slice.
    owners: HashMap<ObjectName, ObjectName>,
}

impl Writer {
    /// Writes into an empty zone.
    pub fn new(zone: Arc<Zone>) -> Self {
        Self { zone, services: HashMap::new(), slices: HashMap::new(), owners: HashMap::new() }
    }

    /// Takes in a change of the model; when it returns, questions are answered by it.
    pub fn take_in(&mut self, change: &Change) {
        match change {
            Change::Service(name, service) => self.service(name, service.as_deref()),
            Change::Slice(name, slice) => self.slice(name, slice.as_ref()),
            Change::Synced => self.zone.set_complete(),
            Change::Node(_) | Change::Watched(..) | Change::Problems(_) => {}
        }
    }

    fn service(&mut self, name: &ObjectName, service: Option<&Service>) {
        let facts = service.and_then(Facts::of);
        let before = match facts.clone() {
            Some(facts) => self.services.insert(name.clone(), facts),
            None => self.services.remove(name),
        };
        if before != facts {
            self.renew(name);
        }
    }

    fn slice(&mut self, name: &ObjectName, slice: Option<&EndpointSlice>) {
        let owner = slice.map(|slice| ObjectName::new(&name.namespace, &slice.service));
        // A slice may have moved to another Service.
        if let Some(before) = self.owners.remove(name)
            && Some(&before) != owner.as_ref()
        {
            self.remove(name, &before);
        }
        let (Some(owner), Some(slice)) = (owner, slice.map(Slice::of)) else { return };
        self.owners.insert(name.clone(), owner.clone());
        let slices = self.slices.entry(owner.clone()).or_default();
        if slices.get(&name.name) != Some(&slice) {
            slices.insert(name.name.clone(), slice);
            self.renew(&owner);
        }
    }

    fn remove(&mut self, name: &ObjectName, owner: &ObjectName) {
        if let Some(slices) = self.slices.get_mut(owner) {
            slices.remove(&name.name);
            if slices.is_empty() {
                self.slices.remove(owner);
            }
        }
        self.renew(owner);
    }

    /// Makes a Service's records anew.
    fn renew(&self, name: &ObjectName) {
        let slices = self.slices.get(name).into_iter().flat_map(BTreeMap::values);
        let entry = self.services.get(name).and_then(|facts| {
            let own = self.zone.service_name(name)?;
            Some(Arc::new(Entry::new(own, facts, slices)))
        });
        self.zone.set(name, entry);
    }
}
