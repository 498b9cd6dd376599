//! The content of the maps as a value, and the edits that lead from one content to another.
//!
//! Edits are meant to be applied one by one, in their order, while packets are flowing.

use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::node::{CidrKey, LinkValue};
use lb_common::layout::service::ServiceValue;
use lb_common::wire::Addr;
use std::collections::BTreeMap;

/// The content of all maps that the agent writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// `SERVICES`.
    pub services: BTreeMap<u32, ServiceValue>,
    /// `BACKENDS`, cells that were ever used: a free one keeps its generation.
    pub backends: BTreeMap<u32, BackendValue>,
    /// `SLOTS`: ranges by their first slot.
    pub slots: BTreeMap<u32, Vec<u32>>,
    /// `FRONTENDS`.
    pub frontends: BTreeMap<FrontendKey, FrontendValue>,
    /// `NODE_ADDRS`.
    pub node_addrs: BTreeMap<Addr, u32>,
    /// `CLUSTER_CIDRS`: address and prefix length as in [`CidrKey`].
    pub cidrs: BTreeMap<([u8; 16], u32), u32>,
    /// `LINKS`.
    pub links: BTreeMap<u32, LinkValue>,
}

/// One write to a map.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "edits are applied as soon as they are made")]
pub enum Edit {
    /// An endpoint comes, changes, or leaves its cell.
    Backend(u32, BackendValue),
    /// A fresh range of slots.
    Slots(u32, Vec<u32>),
    /// A service port is called this; `None`: forgotten.
    Service(u32, Option<ServiceValue>),
    /// An address and port mean this; `None`: nothing.
    Frontend(FrontendKey, Option<FrontendValue>),
    /// An address serves node ports, or not.
    NodeAddr(Addr, bool),
    /// A range holds pods, or not.
    Cidr(CidrKey, bool),
    /// A link is this; `None`: gone.
    Link(u32, Option<LinkValue>),
}

/// The edits that lead from `actual` to `wanted`, in an order in which no packet ever sees half a
/// change: what is pointed to is written before the pointer, and taken away after it.
pub fn diff(actual: &Tables, wanted: &Tables) -> Vec<Edit> {
    let links = changed(&actual.links, &wanted.links);
    let cidrs = changed(&actual.cidrs, &wanted.cidrs);
    let node_addrs = changed(&actual.node_addrs, &wanted.node_addrs);
    let backends = changed(&actual.backends, &wanted.backends);
    let slots = changed(&actual.slots, &wanted.slots);
    let services = changed(&actual.services, &wanted.services);
    let frontends = changed(&actual.frontends, &wanted.frontends);

    let mut edits = Vec::new();
    edits.extend(links.map(|(index, link)| Edit::Link(index, link.copied())));
    edits.extend(cidrs.map(|((addr, prefix_len), cidr)| {
        Edit::Cidr(CidrKey { prefix_len, addr }, cidr.is_some())
    }));
    // A cell that was ever used never vanishes; it is freed by a value that says so.
    let (backends_in, backends_out): (Vec<_>, Vec<_>) = backends
        .filter_map(|(id, cell)| Some((id, *cell?)))
        .partition(|(_, cell)| cell.service != 0);
    edits.extend(backends_in.into_iter().map(|(id, cell)| Edit::Backend(id, cell)));
    // A range that nobody points to any more is left as it is.
    edits.extend(slots.filter_map(|(base, slots)| Some(Edit::Slots(base, slots?.clone()))));
    let service = |(id, value): (u32, Option<&ServiceValue>)| Edit::Service(id, value.copied());
    let (services_in, services_out): (Vec<_>, Vec<_>) =
        services.partition(|(_, value)| value.is_some());
    edits.extend(services_in.into_iter().map(service));
    let frontend =
        |(key, value): (FrontendKey, Option<&FrontendValue>)| Edit::Frontend(key, value.copied());
    let (frontends_in, frontends_out): (Vec<_>, Vec<_>) =
        frontends.partition(|(_, value)| value.is_some());
    edits.extend(frontends_in.into_iter().map(frontend));
    edits.extend(node_addrs.map(|(addr, on)| Edit::NodeAddr(addr, on.is_some())));
    edits.extend(frontends_out.into_iter().map(frontend));
    edits.extend(backends_out.into_iter().map(|(id, cell)| Edit::Backend(id, cell)));
    edits.extend(services_out.into_iter().map(service));
    edits
}

/// Entries that are new or different (`Some`), then those that are gone (`None`).
fn changed<'a, K: Ord + Copy, V: PartialEq>(
    actual: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (K, Option<&'a V>)> {
    let new = wanted.iter().filter(|(key, value)| actual.get(key) != Some(value));
    let gone = actual.keys().filter(|key| !wanted.contains_key(key));
    new.map(|(key, value)| (*key, Some(value))).chain(gone.map(|key| (*key, None)))
}

impl Tables {
    /// What the tables are after `edit`.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Backend(id, value) => drop(self.backends.insert(*id, *value)),
            Edit::Slots(base, slots) => drop(self.slots.insert(*base, slots.clone())),
            Edit::Service(id, value) => set(&mut self.services, *id, *value),
            Edit::Frontend(key, value) => set(&mut self.frontends, *key, *value),
            Edit::NodeAddr(addr, on) => set(&mut self.node_addrs, *addr, on.then_some(1)),
            Edit::Cidr(key, on) => {
                set(&mut self.cidrs, (key.addr, key.prefix_len), on.then_some(1));
            }
            Edit::Link(id, value) => set(&mut self.links, *id, *value),
        }
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
