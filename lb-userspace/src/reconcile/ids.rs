//! Ids, generations and slot ranges: given once, kept as long as the thing lives, and found again
//! in the kernel's tables by the next agent.

use crate::compile::{BackendKey, Family, PortName};
use crate::model::{ObjectName, Protocol};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use lb_common::wire::IpProto;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many of each may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Service ports.
    pub services: u32,
    /// Backends.
    pub backends: u32,
    /// Slots.
    pub slots: u32,
    /// Frontends.
    pub frontends: u32,
}

/// Numbers from 1, the longest unused first: what still names a number is most likely forgotten
/// by the time it is given again.
#[derive(Debug, Default)]
struct Numbers {
    last: u32,
    free: VecDeque<u32>,
}

impl Numbers {
    fn adopt(used: &BTreeSet<u32>) -> Self {
        let last = used.last().copied().unwrap_or(0);
        Self { last, free: (1..last).filter(|n| !used.contains(n)).collect() }
    }

    /// A free number below `limit`.
    fn take(&mut self, limit: u32) -> Option<u32> {
        if self.last + 1 < limit {
            self.last += 1;
            return Some(self.last);
        }
        self.free.pop_front()
    }

    fn give_back(&mut self, number: u32) {
        self.free.push_back(number);
    }
}

/// Ranges of slots. Sizes are rounded up to powers of two and blocks are aligned to their size,
/// so a block that is given back fits the next range of its class.
#[derive(Debug, Default)]
pub struct Ranges {
    /// First slot that was never used.
    end: u32,
    free: BTreeMap<u32, VecDeque<u32>>,
}

impl Ranges {
    /// Takes over ranges (first slot, length) that are in use.
    fn adopt(used: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut ranges = Self::default();
        let blocks: BTreeMap<u32, u32> =
            used.map(|(base, len)| (base, len.next_power_of_two())).collect();
        for (base, size) in blocks {
            ranges.free_up_to(base);
            ranges.end = ranges.end.max(base + size);
        }
        ranges
    }

    /// Makes blocks of the slots from `end` to `base`.
    fn free_up_to(&mut self, base: u32) {
        while self.end < base {
            let largest = 1 << (base - self.end).ilog2();
            let aligned = if self.end == 0 { largest } else { 1 << self.end.trailing_zeros() };
            let size = largest.min(aligned);
            self.free.entry(size).or_default().push_back(self.end);
            self.end += size;
        }
    }

    fn take(&mut self, len: u32, limit: u32) -> Option<u32> {
        let size = len.next_power_of_two();
        if let Some(base) = self.free.get_mut(&size).and_then(VecDeque::pop_front) {
            return Some(base);
        }
        let base = self.end.next_multiple_of(size);
        if base.checked_add(size)? > limit {
            return None;
        }
        self.free_up_to(base);
        self.end = base + size;
        Some(base)
    }

    fn give_back(&mut self, base: u32, len: u32) {
        self.free.entry(len.next_power_of_two()).or_default().push_back(base);
    }
}

/// A range in use and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// First slot.
    pub base: u32,
    /// Backend ids.
    pub slots: Vec<u32>,
}

/// Everything that was given out.
#[derive(Debug)]
pub struct Ids {
    limits: Limits,
    service_numbers: Numbers,
    backend_numbers: Numbers,
    ranges: Ranges,
    services: BTreeMap<PortName, u32>,
    backends: BTreeMap<(u32, BackendKey), u32>,
    generations: BTreeMap<u32, u32>,
    in_use: BTreeMap<(u32, bool), Range>,
}

impl Ids {
    /// Takes over what the kernel's tables say.
    pub fn adopt(actual: &Tables, limits: Limits) -> Self {
        let services: BTreeMap<PortName, u32> =
            actual.services.iter().filter_map(|(id, value)| Some((name(value)?, *id))).collect();
        let owned = |value: &BackendValue| value.service != 0;
        let backends: BTreeMap<_, _> = actual
            .backends
            .iter()
            .filter(|(_, value)| owned(value))
            .map(|(id, value)| {
                ((value.service, BackendKey { addr: value.addr, port: value.port }), *id)
            })
            .collect();
        let in_use = ranges_in_use(actual);
        Self {
            limits,
            service_numbers: Numbers::adopt(&services.values().copied().collect()),
            backend_numbers: Numbers::adopt(&actual.backends.keys().copied().collect()),
            ranges: Ranges::adopt(
                in_use.values().map(|range| (range.base, range.slots.len() as u32)),
            ),
            generations: actual
                .backends
                .iter()
                .map(|(id, value)| (*id, value.generation))
                .collect(),
            services,
            backends,
            in_use,
        }
        .with_free_cells(actual)
    }

    fn with_free_cells(mut self, actual: &Tables) -> Self {
        for (id, value) in &actual.backends {
            if value.service == 0 {
                self.backend_numbers.give_back(*id);
            }
        }
        self
    }

    /// The most that may be given out.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The service ports that have an id.
    pub fn services(&self) -> impl Iterator<Item = &PortName> {
        self.services.keys()
    }

    /// The id of a service port.
    pub fn service(&mut self, name: &PortName) -> Option<u32> {
        if let Some(id) = self.services.get(name) {
            return Some(*id);
        }
        let id = self.service_numbers.take(self.limits.services)?;
        self.services.insert(name.clone(), id);
        Some(id)
    }

    /// The id and generation of a backend.
    pub fn backend(&mut self, service: u32, key: BackendKey) -> Option<(u32, u32)> {
        let id = match self.backends.get(&(service, key)) {
            Some(id) => *id,
            None => {
                let id = self.backend_numbers.take(self.limits.backends)?;
                self.backends.insert((service, key), id);
                id
            }
        };
        Some((id, *self.generations.entry(id).or_insert(1)))
    }

    /// Moves the generation of a backend on, so that flows that name the old one are void.
    pub fn outdate(&mut self, id: u32) -> u32 {
        let generation = self.generations.entry(id).or_insert(0);
        *generation = generation.wrapping_add(1).max(1);
        *generation
    }

    /// Gives a backend's id back; returns the generation of the free cell.
    pub fn forget_backend(&mut self, service: u32, key: BackendKey) -> Option<(u32, u32)> {
        let id = self.backends.remove(&(service, key))?;
        self.backend_numbers.give_back(id);
        Some((id, self.outdate(id)))
    }

    /// Gives a service port's id and its ranges back.
    pub fn forget_service(&mut self, name: &PortName) -> Option<u32> {
        let id = self.services.remove(name)?;
        for local in [false, true] {
            self.release(id, local);
        }
        self.service_numbers.give_back(id);
        Some(id)
    }

    /// A range that holds `slots`: the one in use if nothing changed, else a fresh one. The old
    /// one is given back by the caller once nothing points to it ([`Ids::give_back`]).
    pub fn range(
        &mut self,
        service: u32,
        local: bool,
        slots: Vec<u32>,
    ) -> Option<(Range, Option<Range>)> {
        if let Some(range) = self.in_use.get(&(service, local)).filter(|range| range.slots == slots)
        {
            return Some((range.clone(), None));
        }
        let base = if slots.is_empty() {
            0
        } else {
            self.ranges.take(slots.len() as u32, self.limits.slots)?
        };
        let fresh = Range { base, slots };
        let old = self.in_use.insert((service, local), fresh.clone());
        Some((fresh, old))
    }

    /// Gives slots back.
    pub fn give_back(&mut self, range: &Range) {
        if !range.slots.is_empty() {
            self.ranges.give_back(range.base, range.slots.len() as u32);
        }
    }

    fn release(&mut self, service: u32, local: bool) {
        if let Some(range) = self.in_use.remove(&(service, local)) {
            self.give_back(&range);
        }
    }
}

/// The ranges that frontends point to, by service and set.
fn ranges_in_use(actual: &Tables) -> BTreeMap<(u32, bool), Range> {
    let choices = |frontend: &FrontendValue| {
        [(frontend.service, frontend.inside), (frontend.service, frontend.outside)]
    };
    let found = actual.frontends.values().flat_map(choices).filter(|(_, choice)| choice.len != 0);
    let ranges = found.filter_map(|(service, choice)| {
        let slots = actual.slots.get(&choice.base)?.clone();
        Some(((service, choice.flags & Choice::LOCAL != 0), Range { base: choice.base, slots }))
    });
    ranges.collect()
}

/// The name in an entry of `SERVICES`.
pub fn name(value: &ServiceValue) -> Option<PortName> {
    let protocol = match value.proto {
        IpProto::TCP => Protocol::Tcp,
        IpProto::UDP => Protocol::Udp,
        IpProto::SCTP => Protocol::Sctp,
        _ => return None,
    };
    Some(PortName {
        service: ObjectName::new(text(&value.namespace), text(&value.name)),
        port: text(&value.port_name).to_owned(),
        protocol,
        family: if value.family == Family::V6.number() { Family::V6 } else { Family::V4 },
    })
}
