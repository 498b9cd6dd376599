//! What the maps say now: a second, read-only view of them, as `lbctl` has it.

use crate::bpf::maps::{self, Maps};
use anyhow::Result;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::service::ServiceValue;
use lb_common::verdict::Reason;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Entries of maps that the programs fill are counted by reading them. That is not done for every
/// scrape.
const COUNT_EVERY: Duration = Duration::from_mins(1);

/// What the maps say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// How many entries fit into each map.
    pub capacities: BTreeMap<&'static str, u32>,
    /// Entries of the maps that the programs fill.
    pub entries: Vec<(&'static str, usize)>,
    /// Packets that were not simply translated.
    pub reasons: BTreeMap<Reason, u64>,
    /// Service ports by id, and what went through them.
    pub services: BTreeMap<u32, (ServiceValue, Traffic)>,
    /// Endpoints by id, and what went through them; none unless asked for.
    pub backends: BTreeMap<u32, (BackendValue, Traffic)>,
}

/// Reads pinned maps.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    counted: Option<(Instant, Vec<(&'static str, usize)>)>,
}

impl Reader {
    /// A reader of the maps that are pinned in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, counted: None }
    }

    /// What the maps say now, with endpoints or without. It takes a system call for every entry.
    ///
    /// # Errors
    /// Nothing is pinned there, or the kernel refused a read.
    pub fn read(&mut self, with_backends: bool) -> Result<Reading> {
        let maps = Maps::open(&self.folder)?;
        let mut services = BTreeMap::new();
        for (id, value) in maps.services()? {
            services.insert(id, (value, maps.service_traffic(id)?));
        }
        let mut backends = BTreeMap::new();
        if with_backends {
            for (id, value) in maps.backends()?.into_iter().filter(|(_, one)| one.service != 0) {
                backends.insert(id, (value, maps.backend_traffic(id)?));
            }
        }
        Ok(Reading {
            capacities: maps::capacities(&self.folder)?,
            entries: self.count()?,
            reasons: maps.reasons()?,
            services,
            backends,
        })
    }

    fn count(&mut self) -> Result<Vec<(&'static str, usize)>> {
        let now = Instant::now();
        if let Some((at, counted)) = &self.counted
            && now.duration_since(*at) < COUNT_EVERY
        {
            return Ok(counted.clone());
        }
        let counted = maps::evicting(&self.folder)?;
        self.counted = Some((now, counted.clone()));
        Ok(counted)
    }
}
