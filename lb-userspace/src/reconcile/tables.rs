//! The content of the maps as a value, and the edits that lead from one content to another.
//!
//! Edits are meant to be applied one by one, in their order, while packets are flowing.

use lb_common::layout::affinity::SiblingKey;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::node::{CidrKey, LinkValue};
use lb_common::layout::service::ServiceValue;
use lb_common::layout::source_range::SourceRangeKey;
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
    /// `ADDRESSES`: bits of [`AddressValue`](lb_common::layout::address::AddressValue), never 0.
    pub addresses: BTreeMap<Addr, u32>,
    /// `SOURCE_RANGES`.
    pub source_ranges: BTreeMap<SourceRangeKey, u32>,
    /// `SIBLINGS`.
    pub siblings: BTreeMap<SiblingKey, u32>,
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
    /// An address means this; 0: nothing.
    Address(Addr, u32),
    /// Clients of this range may use a service port, or not.
    SourceRange(SourceRangeKey, bool),
    /// An endpoint is this backend at a service port; `None`: none.
    Sibling(SiblingKey, Option<u32>),
    /// A range holds pods, or not.
    Cidr(CidrKey, bool),
    /// A link is this; `None`: gone.
    Link(u32, Option<LinkValue>),
}

/// The edits that lead from `actual` to `wanted`, in an order in which no packet ever sees half a
/// change: what is pointed to is written before the pointer, and taken away after it.
pub fn diff(actual: &Tables, wanted: &Tables) -> Vec<Edit> {
    let addresses = addresses(&actual.addresses, &wanted.addresses);
    Changes::between(actual, wanted).surround(addresses)
}

/// The edits that lead from one meaning of addresses to another: those that come before the edits
/// of everything else, and those that come after them.
pub(super) fn addresses(
    actual: &BTreeMap<Addr, u32>,
    wanted: &BTreeMap<Addr, u32>,
) -> (Vec<Edit>, Vec<Edit>) {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for (addr, bits) in changed(actual, wanted) {
        let before = actual.get(&addr).copied().unwrap_or(0);
        let after = bits.copied().unwrap_or(0);
        let both = before | after;
        up.extend((both != before).then_some(Edit::Address(addr, both)));
        down.extend((both != after).then_some(Edit::Address(addr, after)));
    }
    (up, down)
}

/// Edits that bring something, and those that take something away.
#[derive(Default)]
struct Changes {
    into: Vec<Edit>,
    out: Vec<Edit>,
}

impl Changes {
    fn between(actual: &Tables, wanted: &Tables) -> Self {
        let mut changes = Self::default();
        changes.node(actual, wanted);
        changes.backends(actual, wanted);
        // Before the frontend that is guarded by them; a range that is gone goes after it.
        let ranges = changed(&actual.source_ranges, &wanted.source_ranges);
        changes.take(ranges, |key, on| Edit::SourceRange(key, on.is_some()));
        changes.frontends(actual, wanted);
        // What leaves, leaves in the opposite order.
        changes.out.reverse();
        changes
    }

    fn node(&mut self, actual: &Tables, wanted: &Tables) {
        let links = changed(&actual.links, &wanted.links);
        self.into.extend(links.map(|(index, link)| Edit::Link(index, link.copied())));
        let cidrs = changed(&actual.cidrs, &wanted.cidrs);
        self.into.extend(cidrs.map(|((addr, prefix_len), cidr)| {
            Edit::Cidr(CidrKey { prefix_len, addr }, cidr.is_some())
        }));
    }

    /// Names and cells of backends, and the slots that name cells.
    fn backends(&mut self, actual: &Tables, wanted: &Tables) {
        let services = changed(&actual.services, &wanted.services);
        self.take(services, |id, value| Edit::Service(id, value.copied()));
        // A cell that was ever used never vanishes; it is freed by a value that says so.
        let cells =
            changed(&actual.backends, &wanted.backends).filter_map(|(id, cell)| Some((id, *cell?)));
        for (id, cell) in cells {
            let side = if cell.service == 0 { &mut self.out } else { &mut self.into };
            side.push(Edit::Backend(id, cell));
        }
        let siblings = changed(&actual.siblings, &wanted.siblings);
        self.take(siblings, |key, id| Edit::Sibling(key, id.copied()));
        // A range that nobody points to any more is left as it is.
        let slots = changed(&actual.slots, &wanted.slots);
        self.into.extend(slots.filter_map(|(base, slots)| Some(Edit::Slots(base, slots?.clone()))));
    }

    /// Edits of addresses surround all others: an address means what it meant and what it will
    /// mean while the entries behind it change.
    fn surround(mut self, (mut up, down): (Vec<Edit>, Vec<Edit>)) -> Vec<Edit> {
        up.append(&mut self.into);
        up.append(&mut self.out);
        up.extend(down);
        up
    }

    fn frontends(&mut self, actual: &Tables, wanted: &Tables) {
        let frontends = changed(&actual.frontends, &wanted.frontends);
        self.take(frontends, |key, value| Edit::Frontend(key, value.copied()));
    }

    fn take<'a, K: 'a, V: 'a>(
        &mut self,
        changes: impl Iterator<Item = (K, Option<&'a V>)>,
        edit: impl Fn(K, Option<&'a V>) -> Edit,
    ) {
        for (key, value) in changes {
            let side = if value.is_some() { &mut self.into } else { &mut self.out };
            side.push(edit(key, value));
        }
    }
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
            Edit::Address(addr, bits) => {
                set(&mut self.addresses, *addr, Some(*bits).filter(|bits| *bits != 0));
            }
            Edit::SourceRange(key, on) => set(&mut self.source_ranges, *key, on.then_some(1)),
            Edit::Sibling(key, id) => set(&mut self.siblings, *key, *id),
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
