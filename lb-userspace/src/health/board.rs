//! What load balancers are told, as a value in a file: `health.json` in the state folder.
//!
//! The agent writes it whenever it changes. A process of its own (`lb-agent health`) answers from
//! it, and goes on while the agent restarts.

use crate::compile::health::Check;
use crate::model::{ObjectName, status};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The file, in the state folder.
pub(crate) const NAME: &str = "health.json";

/// What load balancers are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// The proxy can do its work.
    pub healthy: bool,
    /// The node may get connections: see [`Node::eligible`](crate::model::Node::eligible).
    pub node_eligible: bool,
    /// The node's addresses that are asked about Services.
    pub addrs: BTreeSet<IpAddr>,
    /// The Services that are asked about.
    pub services: Vec<Entry>,
}

/// What is told about a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub service: ObjectName,
    /// Where it is asked about, and its endpoints.
    #[serde(flatten)]
    pub check: Check,
}

impl Board {
    /// A board about these Services.
    pub fn of(checks: &BTreeMap<ObjectName, Check>) -> Vec<Entry> {
        let entry = |(service, check): (&ObjectName, &Check)| Entry {
            service: service.clone(),
            check: check.clone(),
        };
        checks.iter().map(entry).collect()
    }

    /// What is told about each Service.
    pub fn checks(&self) -> BTreeMap<ObjectName, Check> {
        let pair = |entry: &Entry| (entry.service.clone(), entry.check.clone());
        self.services.iter().map(pair).collect()
    }

    /// The file in a state folder.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(NAME)
    }

    /// Replaces the file in `dir` in one step.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        status::replace(&Self::path(dir), self)
    }

    /// The file in `dir`.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is not what an agent writes.
    pub fn read(dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(io::BufReader::new(File::open(Self::path(dir))?))?)
    }
}
