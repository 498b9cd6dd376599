//! What the tables mean, whatever numbers are in them.

use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use lb_common::wire::{Addr, Port};
use lb_userspace::reconcile::Tables;
use std::collections::{BTreeMap, BTreeSet};

/// An endpoint of a service port.
type Backend = (String, Addr, Port, u8);

/// Where a frontend leads, and how.
#[derive(Debug, PartialEq)]
struct Frontend {
    service: String,
    affinity_s: Option<u32>,
    kind: u8,
    flags: u8,
    /// Of each side the slots in order, and bits of [`Choice`].
    sides: [(Vec<Backend>, u32); 2],
}

/// The tables without numbers.
#[derive(Debug, PartialEq)]
pub(super) struct Meaning {
    frontends: BTreeMap<FrontendKey, Frontend>,
    backends: BTreeSet<Backend>,
    addresses: BTreeMap<Addr, u32>,
}

/// What `tables` mean.
pub(super) fn meaning(tables: &Tables) -> Meaning {
    let reader = Reader(tables);
    let used = tables.backends.values().filter(|cell| cell.service != 0);
    Meaning {
        frontends: tables
            .frontends
            .iter()
            .map(|(key, value)| (*key, reader.frontend(value)))
            .collect(),
        backends: used.map(|cell| reader.backend(cell)).collect(),
        addresses: tables.addresses.clone(),
    }
}

struct Reader<'a>(&'a Tables);

impl Reader<'_> {
    fn frontend(&self, value: &FrontendValue) -> Frontend {
        Frontend {
            service: self.name(value.service),
            affinity_s: (value.affinity != 0).then_some(value.affinity_timeout_s),
            kind: value.kind,
            flags: value.flags,
            sides: [value.inside, value.outside].map(|choice| (self.slots(choice), choice.flags)),
        }
    }

    fn slots(&self, choice: Choice) -> Vec<Backend> {
        if choice.len == 0 {
            return Vec::new();
        }
        let ids = &self.0.slots[&choice.base];
        ids.iter().map(|id| self.backend(&self.0.backends[id])).collect()
    }

    fn backend(&self, cell: &BackendValue) -> Backend {
        (self.name(cell.service), cell.addr, cell.port, cell.flags)
    }

    fn name(&self, service: u32) -> String {
        let ServiceValue { namespace, name, port_name, proto, family, .. } =
            &self.0.services[&service];
        format!("{}/{}:{}/{proto} {family}", text(namespace), text(name), text(port_name))
    }
}
