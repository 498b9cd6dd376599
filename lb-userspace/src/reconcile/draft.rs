//! A planned port on its way into the tables: it gets its ids, generations and slots.
//!
//! What the port has already, it keeps. Nothing is written here; if a table turns out to be full,
//! the caller gives back what was taken and everything is as before.

use super::Tables;
use super::entry::Entry;
use super::ids::{Full, Ids};
use super::slots;
use crate::compile::reason::Usage;
use crate::compile::{BackendKey, BackendPlan, FrontendPlan, PortPlan, Side, proto};
use crate::model::TrafficPolicy;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::wire::{Addr, IpProto, Port};

/// What the agent's own name server is, beside what an endpoint at its address may be.
const OWN: u8 =
    BackendValue::AGENT | BackendValue::LOCAL | BackendValue::READY | BackendValue::SERVING;

/// A planned port, half way.
pub(super) struct Draft<'a> {
    port: &'a PortPlan,
    /// Under which id its Service remembers clients for all ports together; `None`: its own.
    memory: Option<u32>,
    /// What the port has.
    old: &'a Entry,
    /// What it will have.
    pub(super) new: Entry,
    /// What its new entries are, all but frontends.
    pub(super) tables: Tables,
}

impl<'a> Draft<'a> {
    /// The port `port` of a Service that was created at `created_s`, and that has `old` so far.
    pub(super) fn new(port: &'a PortPlan, created_s: i64, old: &'a Entry) -> Self {
        let new = Entry { id: old.id, created_s, ..Entry::default() };
        Self { port, memory: None, old, new, tables: Tables::default() }
    }

    /// Its Service remembers clients under this id for all ports together.
    pub(super) fn sharing(self, memory: Option<u32>) -> Self {
        Self { memory, ..self }
    }

    /// Takes what is missing from `ids`; `actual` is what the kernel holds.
    pub(super) fn fill(&mut self, ids: &mut Ids, actual: &Tables) -> Result<(), Full> {
        if self.new.id == 0 {
            self.new.id = ids.services.take()?;
        }
        self.tables.services.insert(self.new.id, self.port.info);
        for (key, plan) in &self.port.backends {
            let own = if self.port.name_server == Some(*key) { OWN } else { 0 };
            self.backend(*key, plan.flags | own, ids, actual)?;
        }
        let endpoints = &self.port.backends;
        if let Some(own) = self.port.name_server.filter(|own| !endpoints.contains_key(own)) {
            self.backend(own, OWN, ids, actual)?;
        }
        let cluster = self.range(TrafficPolicy::Cluster, ids, actual)?;
        let local = self.range(TrafficPolicy::Local, ids, actual)?;
        self.new.sources.clone_from(&self.port.sources);
        if self.port.shared_affinity {
            self.siblings();
        }
        for plan in &self.port.frontends {
            self.new.frontends.insert(plan.key, self.frontend(plan, [cluster, local]));
        }
        Ok(())
    }

    fn backend(
        &mut self,
        key: BackendKey,
        flags: u8,
        ids: &mut Ids,
        actual: &Tables,
    ) -> Result<(), Full> {
        let known = self.old.backends.get(&key).copied();
        let id = known.map_or_else(|| ids.backends.take(), Ok)?;
        self.new.backends.insert(key, id);
        let cell = actual.backends.get(&id);
        let serves = |flags: u8| flags & BackendValue::SERVING != 0;
        let stopped =
            cell.is_some_and(|cell| cell.service != 0 && serves(cell.flags)) && !serves(flags);
        let value = BackendValue {
            addr: key.addr,
            port: key.port,
            proto: proto(self.port.name.protocol),
            flags,
            service: self.new.id,
            // UDP flows follow endpoints that serve, and do not know yet of a name server that is to
            // come first; TCP does not look at the generation.
            generation: cell.map_or(1, |cell| generation(cell, stopped || self.gains_own(actual))),
            zero: [0; 4],
        };
        self.tables.backends.insert(id, value);
        Ok(())
    }

    /// Whether the agent's own name server comes before endpoints that there have been.
    fn gains_own(&self, actual: &Tables) -> bool {
        let is_own = |cell: &BackendValue| cell.flags & BackendValue::AGENT != 0;
        let mut cells = self.old.backends.values().filter_map(|id| actual.backends.get(id));
        self.port.name_server.is_some() && !cells.any(is_own)
    }

    /// One backend for each address, the first that new connections may choose.
    fn siblings(&mut self) {
        let used = |plan: &BackendPlan| [plan.cluster, plan.local].contains(&Usage::Used);
        for (key, _) in self.port.backends.iter().filter(|(_, plan)| used(plan)) {
            if let Some(id) = self.new.backends.get(key) {
                self.new.siblings.entry(key.addr).or_insert(*id);
            }
        }
    }

    /// The range of one set, as (first slot, how many to choose from): one that holds it already,
    /// or a fresh one. Both sets share a range if they are the same.
    fn range(
        &mut self,
        policy: TrafficPolicy,
        ids: &mut Ids,
        actual: &Tables,
    ) -> Result<(u32, u32), Full> {
        let mut slots = self.slots(policy);
        let to_choose = slots.len();
        slots.extend(self.own(policy));
        let (Ok(to_choose), Ok(len)) = (u32::try_from(to_choose), u32::try_from(slots.len()))
        else {
            return Ok((0, 0));
        };
        if len == 0 {
            return Ok((0, 0));
        }
        let owned = self.old.ranges.keys().filter_map(|base| actual.slots.get_key_value(base));
        let same = self.tables.slots.iter().chain(owned).find(|(_, known)| **known == slots);
        let base = match same {
            Some((base, _)) => *base,
            None => ids.slots.take(len)?,
        };
        self.new.ranges.insert(base, len);
        self.tables.slots.insert(base, slots);
        Ok((base, to_choose))
    }

    /// The slots of one set; none if no frontend leads there.
    fn slots(&self, policy: TrafficPolicy) -> Vec<u32> {
        let leads = |plan: &FrontendPlan| {
            [plan.inside, plan.outside].iter().any(|side| side.policy == policy)
        };
        if !self.port.frontends.iter().any(leads) {
            return Vec::new();
        }
        let keys = match policy {
            TrafficPolicy::Cluster => &self.port.cluster,
            TrafficPolicy::Local => &self.port.local,
        };
        let backend = |key: &BackendKey| Some((*key, *self.new.backends.get(key)?));
        let backends: Vec<(BackendKey, u32)> = keys.iter().filter_map(backend).collect();
        slots::of(&backends, self.port.algorithm)
    }

    /// The agent's own name server, where a frontend leads to it before all others.
    fn own(&self, policy: TrafficPolicy) -> Option<u32> {
        let leads = |plan: &FrontendPlan| {
            plan.inside.policy == policy && plan.inside.flags & Choice::AGENT != 0
        };
        let own = self.port.name_server.filter(|_| self.port.frontends.iter().any(leads))?;
        self.new.backends.get(&own).copied()
    }

    fn frontend(&self, plan: &FrontendPlan, [cluster, local]: [(u32, u32); 2]) -> FrontendValue {
        let choice = |side: Side| {
            let (base, len) = match side.policy {
                TrafficPolicy::Cluster => cluster,
                TrafficPolicy::Local => local,
            };
            let choice = Choice { base, len, flags: side.flags };
            // Where there is nothing to choose from it is no matter where.
            if choice.slots() == 0 { Choice { base: 0, ..choice } } else { choice }
        };
        let service = self.new.id;
        let memory = self.memory.filter(|_| self.port.shared_affinity).unwrap_or(service);
        let flag = |on, bit| if on { bit } else { 0 };
        FrontendValue {
            service,
            affinity: self.port.affinity_timeout_s.map_or(0, |_| memory),
            affinity_timeout_s: self.port.affinity_timeout_s.unwrap_or(0),
            inside: choice(plan.inside),
            outside: choice(plan.outside),
            kind: plan.kind,
            flags: flag(plan.guarded, FrontendValue::GUARDED)
                | flag(self.port.shared_affinity, FrontendValue::SHARED_AFFINITY),
            zero: [0; 2],
        }
    }
}

/// What is left in the cell of an endpoint that is gone.
pub(super) fn free_cell(cell: &BackendValue) -> BackendValue {
    BackendValue {
        addr: Addr::ANY,
        port: Port::NONE,
        proto: IpProto(0),
        flags: 0,
        service: 0,
        generation: generation(cell, true),
        zero: [0; 4],
    }
}

/// The generation of a cell, moved on if what named the old one is void. Never 0: such a cell was
/// never used.
fn generation(cell: &BackendValue, moved: bool) -> u32 {
    cell.generation.wrapping_add(u32::from(moved)).max(1)
}
