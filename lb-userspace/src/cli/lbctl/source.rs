//! One look at a node: its maps, counters, clock, links and the agent's status.

use super::place::Place;
use crate::bpf::clock::monotonic_ns;
use crate::bpf::maps::Maps;
use crate::model::status::Status;
use crate::reconcile::Tables;
use anyhow::Result;
use lb_common::layout::counter::Traffic;
use lb_common::layout::node::Clock;
use std::collections::BTreeMap;

/// What resources are read from.
pub(super) struct Source<'a> {
    pub(super) place: &'a Place,
    pub(super) maps: Maps,
    pub(super) tables: Tables,
}

impl<'a> Source<'a> {
    pub(super) fn open(place: &'a Place) -> Result<Self> {
        let maps = place.open()?;
        let tables = maps.tables()?;
        Ok(Self { place, maps, tables })
    }

    pub(super) fn status(&self) -> Result<Option<Status>> {
        self.place.status()
    }

    /// The counters of all services and backends.
    pub(super) fn counters(&self) -> Result<Counters> {
        let service = |id: &u32| Ok((*id, self.maps.service_traffic(*id)?));
        let backend = |id: &u32| Ok((*id, self.maps.backend_traffic(*id)?));
        Ok(Counters {
            services: self.tables.services.keys().map(service).collect::<Result<_>>()?,
            backends: self.tables.backends.keys().map(backend).collect::<Result<_>>()?,
        })
    }

    /// The clock that entries are dated by.
    pub(super) fn ages(&self) -> Result<Ages> {
        Ok(Ages { clock: self.maps.clock()?, now_ns: monotonic_ns() })
    }
}

/// What went through services and backends, by id.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) services: BTreeMap<u32, Traffic>,
    pub(super) backends: BTreeMap<u32, Traffic>,
}

impl Counters {
    pub(super) fn service(&self, id: u32) -> Traffic {
        self.services.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn backend(&self, id: u32) -> Traffic {
        self.backends.get(&id).copied().unwrap_or_default()
    }
}

/// Turns the dates of entries into ages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ages {
    pub(super) clock: Clock,
    pub(super) now_ns: u64,
}

impl Ages {
    /// Seconds since `seen`; `None`: no agent has set the clock yet.
    pub(super) fn of(&self, seen: u32) -> Option<u64> {
        (self.clock.hz != 0).then(|| self.clock.seconds_since(seen, self.now_ns))
    }
}
