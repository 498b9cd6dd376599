//! What a service port has in the tables, and how that is found again in the tables of an agent
//! that ended.

use super::Tables;
use crate::compile::{BackendKey, Family, PortName, Prefix};
use crate::model::{ObjectName, Protocol};
use lb_common::layout::affinity::SiblingKey;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::wire::{Addr, IpProto};
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a service port's id in a key of `SOURCE_RANGES`.
const ID_BITS: u32 = 32;

/// What a service port has in the tables. The default has nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// Its id; 0: none.
    pub(super) id: u32,
    /// Ids of its backends.
    pub(super) backends: BTreeMap<BackendKey, u32>,
    /// Its ranges of slots: first slot to length.
    pub(super) ranges: BTreeMap<u32, u32>,
    /// The frontends that it claims, and what they are if it holds them.
    pub(super) frontends: BTreeMap<FrontendKey, FrontendValue>,
    /// Clients that may use its guarded frontends.
    pub(super) sources: BTreeSet<Prefix>,
    /// The backend that each of its endpoints is, if its affinity spans all ports of its Service.
    pub(super) siblings: BTreeMap<Addr, u32>,
    /// When its Service was created: the older claim wins.
    pub(super) created_s: i64,
}

impl Entry {
    /// Keys of `SOURCE_RANGES`.
    pub(super) fn source_ranges(&self) -> impl Iterator<Item = SourceRangeKey> {
        let key = |range: &Prefix| SourceRangeKey {
            prefix_len: ID_BITS + range.len,
            service: self.id,
            addr: range.addr,
        };
        self.sources.iter().map(key)
    }

    /// Keys of `SIBLINGS`.
    pub(super) fn sibling_keys(&self) -> impl Iterator<Item = SiblingKey> {
        let key = |addr: &Addr| SiblingKey { addr: *addr, service: self.id, zero: [0; 4] };
        self.siblings.keys().map(key)
    }

    /// The id under which its clients are remembered for all ports of its Service together.
    pub(super) fn shared_affinity(&self) -> Option<u32> {
        let shared = |value: &&FrontendValue| value.flags & FrontendValue::SHARED_AFFINITY != 0;
        self.frontends.values().find(shared).map(|value| value.affinity)
    }
}

/// Who has what, as the tables tell it.
///
/// They do not tell when a Service was created. What holds a frontend is taken for the oldest, so
/// that it keeps it until it is planned again. An update that was interrupted may have left two
/// ranges for one set; both are in use.
pub(super) fn adopt(actual: &Tables) -> BTreeMap<PortName, Entry> {
    let mut entries = BTreeMap::<u32, Entry>::new();
    for id in actual.services.keys() {
        entries.entry(*id).or_default();
    }
    for (id, value) in actual.backends.iter().filter(|(_, value)| value.service != 0) {
        let key = BackendKey { addr: value.addr, port: value.port };
        entries.entry(value.service).or_default().backends.insert(key, *id);
    }
    for (key, value) in &actual.frontends {
        let entry = entries.entry(value.service).or_default();
        entry.frontends.insert(*key, *value);
        // Where only one of two names the agent's slot, the range is as long as that one says.
        for choice in [value.inside, value.outside].iter().filter(|choice| choice.slots() != 0) {
            let len = entry.ranges.entry(choice.base).or_default();
            *len = choice.slots().max(*len);
        }
    }
    for key in actual.source_ranges.keys() {
        let range = Prefix { len: key.prefix_len.saturating_sub(ID_BITS), addr: key.addr };
        entries.entry(key.service).or_default().sources.insert(range);
    }
    for (key, id) in &actual.siblings {
        entries.entry(key.service).or_default().siblings.insert(key.addr, *id);
    }
    named(entries, actual)
}

/// What nobody's name is on is filed under a name that no object has.
fn named(entries: BTreeMap<u32, Entry>, actual: &Tables) -> BTreeMap<PortName, Entry> {
    let mut all = BTreeMap::new();
    for (id, entry) in entries {
        let known = actual.services.get(&id).and_then(name);
        let name = known.filter(|name| !all.contains_key(name)).unwrap_or_else(|| nobody(id));
        all.insert(name, Entry { id, created_s: i64::MIN, ..entry });
    }
    all
}

fn nobody(id: u32) -> PortName {
    PortName {
        service: ObjectName::new("", ""),
        port: id.to_string(),
        protocol: Protocol::Tcp,
        family: Family::V4,
    }
}

/// The name in an entry of `SERVICES`.
pub(crate) fn name(value: &ServiceValue) -> Option<PortName> {
    let protocol = match value.proto {
        IpProto::TCP => Protocol::Tcp,
        IpProto::UDP => Protocol::Udp,
        IpProto::SCTP => Protocol::Sctp,
        _ => return None,
    };
    let family = Family::ALL.into_iter().find(|family| family.number() == value.family)?;
    Some(PortName {
        service: ObjectName::new(text(&value.namespace), text(&value.name)),
        port: text(&value.port_name).to_owned(),
        protocol,
        family,
    })
}
