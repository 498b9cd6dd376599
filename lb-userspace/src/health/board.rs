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

/// The file: what was told, and when. It says nothing after the machine has started anew: the
/// programs are gone.
#[derive(Serialize, Deserialize)]
struct Dated {
    /// The kernel's name for the time since the machine started.
    #[serde(default)]
    boot: String,
    #[serde(flatten)]
    board: Board,
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
        let dated = Dated { boot: status::boot_id()?, board: self.clone() };
        status::replace(&Self::path(dir), &dated)
    }

    /// The file in `dir`; if an agent wrote it before the machine started anew, nothing is told.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is not what an agent writes.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let file = io::BufReader::new(File::open(Self::path(dir))?);
        let Dated { boot, board } = serde_json::from_reader(file)?;
        Ok(if boot == status::boot_id()? { board } else { Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_from_before_the_machine_started_anew_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let board = Board { healthy: true, node_eligible: true, ..Board::default() };
        board.write(dir.path()).unwrap();
        assert_eq!(Board::read(dir.path()).unwrap(), board);
        let written = std::fs::read_to_string(Board::path(dir.path())).unwrap();
        let earlier = written.replace(&status::boot_id().unwrap(), "another");
        assert_ne!(earlier, written);
        std::fs::write(Board::path(dir.path()), earlier).unwrap();
        assert_eq!(Board::read(dir.path()).unwrap(), Board::default());
    }
}
