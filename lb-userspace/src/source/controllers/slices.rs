//! All slices of the folder: written by hand and made by controllers, each name once.

use crate::model::{EndpointSlice, ObjectName};
use std::collections::BTreeMap;

/// Slices by their own name.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices(BTreeMap<ObjectName, EndpointSlice>);

impl Slices {
    pub(super) fn insert_written(&mut self, slice: EndpointSlice) {
        self.0.insert(slice.name.clone(), slice);
    }

    /// A made slice gives way where its name is taken: it gets a number behind it.
    pub(super) fn insert_made(&mut self, mut slice: EndpointSlice) {
        let base = slice.name.name.clone();
        let mut number = 2;
        while self.0.contains_key(&slice.name) {
            slice.name.name = format!("{base}-{number}");
            number += 1;
        }
        self.0.insert(slice.name.clone(), slice);
    }

    /// By the Service they belong to, as a snapshot has them.
    pub(super) fn by_service(self) -> BTreeMap<ObjectName, BTreeMap<String, EndpointSlice>> {
        let mut services: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (name, slice) in self.0 {
            let service = ObjectName::new(name.namespace, slice.service.as_str());
            services.entry(service).or_default().insert(name.name, slice);
        }
        services
    }
}
