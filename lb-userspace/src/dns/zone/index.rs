//! Names and addresses to Services: what questions read.
//!
//! One lock over two maps, held for a look-up by a question and for the exchange of one pointer
//! (and of the addresses that differ) by a change: an [`Entry`] is built before and never changed
//! after. So a question sees a Service either before or after a change, never between, and waits a
//! microsecond at most. A map that is copied and swapped as a whole would make a change cost as
//! much as there are Services; locks for each namespace would not let a new one appear.

use super::entry::Entry;
use hickory_proto::rr::Name;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// The Services by name, and their names by address.
#[derive(Debug, Default)]
pub(super) struct Index(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    /// By namespace, then by name. A namespace is here while it has a Service.
    services: HashMap<String, HashMap<String, Arc<Entry>>>,
    /// Names of Services by their cluster addresses.
    clusters: HashMap<IpAddr, Vec<Name>>,
    /// Names of endpoints.
    endpoints: HashMap<IpAddr, Vec<Name>>,
}

impl Index {
    /// The Service, if there is one.
    pub(super) fn service(&self, namespace: &str, service: &str) -> Option<Arc<Entry>> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.services.get(namespace)?.get(service).cloned()
    }

    /// Whether a namespace has Services.
    pub(super) fn has_namespace(&self, namespace: &str) -> bool {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        maps.services.contains_key(namespace)
    }

    /// The names of an address: the Service's whose cluster address it is, or else the endpoints'.
    pub(super) fn names(&self, address: IpAddr) -> Vec<Name> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names = maps.clusters.get(&address).or_else(|| maps.endpoints.get(&address));
        names.cloned().unwrap_or_default()
    }

    /// A Service is now this.
    pub(super) fn set(&self, namespace: &str, service: &str, entry: Option<Arc<Entry>>) {
        let before = self.service(namespace, service);
        let gone = Pointers::between(before.as_deref(), entry.as_deref());
        let new = Pointers::between(entry.as_deref(), before.as_deref());
        let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
        remove(&mut maps.clusters, gone.clusters);
        remove(&mut maps.endpoints, gone.endpoints);
        add(&mut maps.clusters, new.clusters);
        add(&mut maps.endpoints, new.endpoints);
        maps.exchange(namespace, service, entry);
    }
}

impl Maps {
    fn exchange(&mut self, namespace: &str, service: &str, entry: Option<Arc<Entry>>) {
        if let Some(entry) = entry {
            let services = self.services.entry(namespace.to_owned()).or_default();
            services.insert(service.to_owned(), entry);
        } else if let Some(services) = self.services.get_mut(namespace) {
            services.remove(service);
            if services.is_empty() {
                self.services.remove(namespace);
            }
        }
    }
}

/// Addresses and the names that they lead back to.
struct Pointers {
    clusters: Vec<(IpAddr, Name)>,
    endpoints: Vec<(IpAddr, Name)>,
}

impl Pointers {
    /// What `one` has and `other` has not.
    fn between(one: Option<&Entry>, other: Option<&Entry>) -> Self {
        Self {
            clusters: difference(clusters(one), clusters(other)),
            endpoints: difference(endpoints(one), endpoints(other)),
        }
    }
}

fn clusters(entry: Option<&Entry>) -> impl Iterator<Item = (IpAddr, &Name)> {
    entry
        .into_iter()
        .flat_map(|entry| entry.cluster_ips().iter().map(|address| (*address, &entry.name)))
}

fn endpoints(entry: Option<&Entry>) -> impl Iterator<Item = (IpAddr, &Name)> {
    let endpoints = entry.into_iter().flat_map(|entry| &entry.endpoints);
    endpoints.map(|endpoint| (endpoint.address, &endpoint.name))
}

fn difference<'a>(
    one: impl Iterator<Item = (IpAddr, &'a Name)>,
    other: impl Iterator<Item = (IpAddr, &'a Name)>,
) -> Vec<(IpAddr, Name)> {
    let other: HashSet<_> = other.collect();
    // The same endpoint may stand in two slices while it moves from one to the other.
    let one: HashSet<_> = one.collect();
    one.difference(&other).map(|(address, name)| (*address, (*name).clone())).collect()
}

fn remove(map: &mut HashMap<IpAddr, Vec<Name>>, gone: Vec<(IpAddr, Name)>) {
    for (address, name) in gone {
        if let Some(names) = map.get_mut(&address) {
            names.retain(|one| *one != name);
            if names.is_empty() {
                map.remove(&address);
            }
        }
    }
}

fn add(map: &mut HashMap<IpAddr, Vec<Name>>, new: Vec<(IpAddr, Name)>) {
    for (address, name) in new {
        map.entry(address).or_default().push(name);
    }
}
