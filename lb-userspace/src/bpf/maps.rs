//! Typed access to the maps: what the agent writes, what it and `lbctl` read.
//!
//! The maps are those of a loaded object, or the pinned ones of whatever agent ran last.

use super::{Raw, raw};
use crate::reconcile::{Edit, Tables};
use anyhow::{Context as _, Result, anyhow};
use aya::Ebpf;
use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, MapInfo, PerCpuArray};
use lb_common::flow::FlowKey;
use lb_common::layout::affinity::{AffinityKey, AffinityValue, SiblingKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::name;
use lb_common::layout::node::{CidrKey, Clock, LinkValue};
use lb_common::layout::service::ServiceValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::verdict::Reason;
use lb_common::wire::Addr;
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;

type Hash<K, V> = HashMap<MapData, Raw<K>, Raw<V>>;

/// All maps of a datapath.
pub struct Maps {
    pub(super) conntrack: Hash<FlowKey, FlowValue>,
    frontends: Hash<FrontendKey, FrontendValue>,
    slots: Array<MapData, u32>,
    backends: Array<MapData, Raw<BackendValue>>,
    pub(super) affinity: Hash<AffinityKey, AffinityValue>,
    pub(super) sockets: Hash<SocketKey, SocketValue>,
    links: HashMap<MapData, u32, Raw<LinkValue>>,
    addresses: HashMap<MapData, Raw<Addr>, u32>,
    source_ranges: LpmTrie<MapData, [u8; 20], u32>,
    siblings: HashMap<MapData, Raw<SiblingKey>, u32>,
    cidrs: LpmTrie<MapData, [u8; 16], u32>,
    clock: Array<MapData, Raw<Clock>>,
    services: HashMap<MapData, u32, Raw<ServiceValue>>,
    service_stats: PerCpuArray<MapData, Raw<Traffic>>,
    backend_stats: PerCpuArray<MapData, Raw<Traffic>>,
    reasons: PerCpuArray<MapData, u64>,
}

impl Maps {
    /// The maps of a loaded object.
    ///
    /// # Errors
    /// A map is missing or has another shape.
    pub fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Self::from(|map| ebpf.take_map(map).ok_or_else(|| anyhow!("not in the object")))
    }

    /// The maps that are pinned in `folder`.
    ///
    /// # Errors
    /// Nothing is pinned there, or it may not be read, or it has another shape.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::from(|map| {
            let data = MapData::from_pin(folder.join(map))?;
            Ok(Map::from_map_data(data)?)
        })
    }

    fn from(mut map: impl FnMut(&str) -> Result<Map>) -> Result<Self> {
        let mut get = |name: &str| map(name).with_context(|| format!("opening map {name}"));
        Ok(Self {
            conntrack: get(name::CONNTRACK)?.try_into()?,
            frontends: get(name::FRONTENDS)?.try_into()?,
            slots: get(name::SLOTS)?.try_into()?,
            backends: get(name::BACKENDS)?.try_into()?,
            affinity: get(name::AFFINITY)?.try_into()?,
            sockets: get(name::SOCKETS)?.try_into()?,
            links: get(name::LINKS)?.try_into()?,
            addresses: get(name::ADDRESSES)?.try_into()?,
            source_ranges: get(name::SOURCE_RANGES)?.try_into()?,
            siblings: get(name::SIBLINGS)?.try_into()?,
            cidrs: get(name::CLUSTER_CIDRS)?.try_into()?,
            clock: get(name::CLOCK)?.try_into()?,
            services: get(name::SERVICES)?.try_into()?,
            service_stats: get(name::SERVICE_STATS)?.try_into()?,
            backend_stats: get(name::BACKEND_STATS)?.try_into()?,
            reasons: get(name::REASONS)?.try_into()?,
        })
    }

    /// Everything that the agent wrote.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn tables(&self) -> Result<Tables> {
        let frontends = self.frontends()?;
        Ok(Tables {
            services: self.services()?,
            backends: self.backends()?,
            slots: self.ranges(&frontends)?,
            frontends,
            addresses: entries(self.addresses.iter(), |Raw(addr), bits| (addr, bits))?,
            source_ranges: entries(self.source_ranges.iter(), |key, on| (range_of(&key), on))?,
            siblings: entries(self.siblings.iter(), |Raw(key), id| (key, id))?,
            cidrs: entries(self.cidrs.iter(), |key, on| ((key.data(), key.prefix_len()), on))?,
            links: self.links()?,
        })
    }

    /// `SERVICES`.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn services(&self) -> Result<BTreeMap<u32, ServiceValue>> {
        entries(self.services.iter(), |id, Raw(value)| (id, value))
    }

    /// `FRONTENDS`.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn frontends(&self) -> Result<BTreeMap<FrontendKey, FrontendValue>> {
        entries(self.frontends.iter(), |Raw(key), Raw(value)| (key, value))
    }

    /// `LINKS`.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn links(&self) -> Result<BTreeMap<u32, LinkValue>> {
        entries(self.links.iter(), |index, Raw(value)| (index, value))
    }

    /// The cells of `BACKENDS` that were ever used; free ones have service 0.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn backends(&self) -> Result<BTreeMap<u32, BackendValue>> {
        let mut used = BTreeMap::new();
        for (id, cell) in (0..).zip(self.backends.iter()) {
            let Raw(value) = cell.context("reading map BACKENDS")?;
            if value.generation != 0 {
                used.insert(id, value);
            }
        }
        Ok(used)
    }

    /// A cell of `BACKENDS`.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn backend(&self, id: u32) -> Result<BackendValue> {
        let Raw(value) = self.backends.get(&id, 0).context("reading map BACKENDS")?;
        Ok(value)
    }

    /// The slots of a range.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn slots(&self, choice: &Choice) -> Result<Vec<u32>> {
        let slot = |index| self.slots.get(&index, 0).context("reading map SLOTS");
        (choice.base..choice.base.saturating_add(choice.slots())).map(slot).collect()
    }

    fn ranges(
        &self,
        frontends: &BTreeMap<FrontendKey, FrontendValue>,
    ) -> Result<BTreeMap<u32, Vec<u32>>> {
        let mut ranges = BTreeMap::<u32, Vec<u32>>::new();
        for choice in frontends.values().flat_map(|value| [value.inside, value.outside]) {
            let known = ranges.get(&choice.base).map_or(0, Vec::len);
            if choice.slots() as usize > known {
                ranges.insert(choice.base, self.slots(&choice)?);
            }
        }
        Ok(ranges)
    }

    /// `CLOCK`; all zero if no agent has set it.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn clock(&self) -> Result<Clock> {
        let Raw(clock) = self.clock.get(&0, 0).context("reading map CLOCK")?;
        Ok(clock)
    }

    /// Sets `CLOCK`.
    ///
    /// # Errors
    /// The kernel refused the write.
    pub fn set_clock(&mut self, clock: Clock) -> Result<()> {
        self.clock.set(0, Raw(clock), 0).context("writing map CLOCK")
    }

    /// What went through a service port.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn service_traffic(&self, service: u32) -> Result<Traffic> {
        sum(&self.service_stats, service)
    }

    /// What went through a backend.
    ///
    /// # Errors
    /// The kernel refused the read.
    pub fn backend_traffic(&self, backend: u32) -> Result<Traffic> {
        sum(&self.backend_stats, backend)
    }

    /// Packets by reason.
    ///
    /// # Errors
    /// The kernel refused a read.
    pub fn reasons(&self) -> Result<BTreeMap<Reason, u64>> {
        let count = |reason: Reason| {
            let cells = self.reasons.get(&(reason as u32), 0).context("reading map REASONS")?;
            Ok((reason, cells.iter().sum()))
        };
        Reason::ALL.into_iter().map(count).collect()
    }

    /// Makes one edit.
    ///
    /// # Errors
    /// The kernel refused it: the map is full, or memory is short.
    pub fn apply(&mut self, edit: &Edit) -> Result<()> {
        self.write(edit).with_context(|| format!("applying {edit:?}"))
    }

    fn write(&mut self, edit: &Edit) -> Result<()> {
        match edit {
            Edit::Backend(id, value) => self.backends.set(*id, Raw(*value), 0)?,
            Edit::Slots(base, slots) => {
                for (index, id) in (*base..).zip(slots) {
                    self.slots.set(index, *id, 0)?;
                }
            }
            Edit::Service(id, Some(value)) => {
                self.forget_traffic(*id)?;
                self.services.insert(*id, Raw(*value), 0)?;
            }
            Edit::Service(id, None) => gone(self.services.remove(id))?,
            Edit::Frontend(key, Some(value)) => self.frontends.insert(Raw(*key), Raw(*value), 0)?,
            Edit::Frontend(key, None) => gone(self.frontends.remove(&Raw(*key)))?,
            Edit::Address(addr, 0) => gone(self.addresses.remove(&Raw(*addr)))?,
            Edit::Address(addr, bits) => self.addresses.insert(Raw(*addr), bits, 0)?,
            Edit::SourceRange(key, true) => self.source_ranges.insert(&range_key(key), 1, 0)?,
            Edit::SourceRange(key, false) => gone(self.source_ranges.remove(&range_key(key)))?,
            Edit::Sibling(key, Some(id)) => self.siblings.insert(Raw(*key), id, 0)?,
            Edit::Sibling(key, None) => gone(self.siblings.remove(&Raw(*key)))?,
            Edit::Cidr(key, true) => self.cidrs.insert(&trie_key(key), 1, 0)?,
            Edit::Cidr(key, false) => gone(self.cidrs.remove(&trie_key(key)))?,
            Edit::Link(index, Some(value)) => self.links.insert(*index, Raw(*value), 0)?,
            Edit::Link(index, None) => gone(self.links.remove(index))?,
        }
        Ok(())
    }

    /// A service id that is given to another name starts to count anew.
    fn forget_traffic(&mut self, service: u32) -> Result<()> {
        if self.services.get(&service, 0).is_err() {
            let zero =
                vec![Raw(Traffic::default()); aya::util::nr_cpus().map_err(|(_, error)| error)?];
            self.service_stats.set(service, zero.try_into()?, 0)?;
        }
        Ok(())
    }
}

/// How many entries the maps have that the programs fill, and that evict when they are full, as
/// they are pinned in `folder`.
///
/// # Errors
/// A map is missing, or the kernel refused a read.
pub fn evicting(folder: &Path) -> Result<Vec<(&'static str, usize)>> {
    let count = |name: &'static str| -> Result<usize> {
        let map = MapData::from_pin(folder.join(name))?;
        let info = map.info()?;
        Ok(raw::count(map.fd().as_fd(), info.key_size(), info.value_size())?)
    };
    let counted = |name| {
        let count = count(name).with_context(|| format!("counting entries of map {name}"))?;
        Ok((name, count))
    };
    [name::CONNTRACK, name::AFFINITY, name::SOCKETS].into_iter().map(counted).collect()
}

/// How many entries the maps that are pinned in `folder` can hold, by name.
///
/// # Errors
/// A map is missing, or may not be read.
pub fn capacities(folder: &Path) -> Result<BTreeMap<&'static str, u32>> {
    let capacity = |name: &'static str| {
        let info = MapInfo::from_pin(folder.join(name))
            .with_context(|| format!("asking for the size of map {name}"))?;
        Ok((name, info.max_entries()))
    };
    name::ALL.into_iter().map(capacity).collect()
}

fn trie_key(key: &CidrKey) -> Key<[u8; 16]> {
    Key::new(key.prefix_len, key.addr)
}

fn range_key(key: &SourceRangeKey) -> Key<[u8; 20]> {
    let mut bytes = [0; 20];
    let (service, addr) = bytes.split_at_mut(4);
    service.copy_from_slice(&key.service.to_ne_bytes());
    addr.copy_from_slice(&key.addr);
    Key::new(key.prefix_len, bytes)
}

fn range_of(key: &Key<[u8; 20]>) -> SourceRangeKey {
    let (prefix_len, bytes) = (key.prefix_len(), key.data());
    let [a, b, c, d, addr @ ..] = bytes;
    SourceRangeKey { prefix_len, service: u32::from_ne_bytes([a, b, c, d]), addr }
}

/// An entry that is not there is as good as removed.
pub(super) fn gone(result: Result<(), MapError>) -> Result<()> {
    match result {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn sum(stats: &PerCpuArray<MapData, Raw<Traffic>>, index: u32) -> Result<Traffic> {
    let cells = stats.get(&index, 0).context("reading counters")?;
    Ok(cells.iter().fold(Traffic::default(), |sum, Raw(cell)| Traffic {
        packets: sum.packets + cell.packets,
        bytes: sum.bytes + cell.bytes,
        connections: sum.connections + cell.connections,
    }))
}

fn entries<A, B, K: Ord, V>(
    iter: impl Iterator<Item = Result<(A, B), MapError>>,
    entry: impl Fn(A, B) -> (K, V),
) -> Result<BTreeMap<K, V>> {
    iter.map(|item| item.map(|(a, b)| entry(a, b)).map_err(Into::into)).collect()
}
