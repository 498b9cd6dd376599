//! What an agent says of itself, in a file: `status.json` in its state folder.
//!
//! Written by the agent whenever something changes; read by `lbctl`, also after the agent ended.

use super::Problem;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it was started, in seconds since 1970.
    pub started_s: u64,
    /// The node's name.
    pub node: String,
    /// Where its objects come from.
    pub source: String,
    /// The kernel's tables are what the objects want, as far as `problems` let them, and the programs
    /// are attached: the kernel has refused nothing.
    pub synced: bool,
    /// What cannot be done as the objects want it.
    pub problems: Vec<Problem>,
    /// The links that it serves.
    pub links: Vec<LinkStatus>,
    /// Connections that another proxy still translates; null: nobody has looked.
    #[serde(default)]
    pub foreign_connections: Option<usize>,
}

/// A link that an agent serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `uplink`, `pod` or `none`.
    pub kind: String,
    /// What is worth knowing; may be empty.
    pub reason: String,
}

impl Status {
    /// The file in a state folder.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("status.json")
    }

    /// The file that a running agent holds a lock on.
    pub fn lock_path(dir: &Path) -> PathBuf {
        dir.join("agent.lock")
    }

    /// Replaces the file in `dir` in one step.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        replace(&Self::path(dir), self)
    }

    /// The file in `dir`; `None`: no agent ever wrote one.
    ///
    /// # Errors
    /// It cannot be read, or is not what an agent writes.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match File::open(Self::path(dir)) {
            Ok(file) => Ok(Some(serde_json::from_reader(io::BufReader::new(file))?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an agent works in `dir` now.
    pub fn agent_alive(dir: &Path) -> bool {
        is_locked(&Self::lock_path(dir))
    }
}

/// Replaces a file of a state folder in one step: whoever reads it finds the old or the new one.
pub(crate) fn replace(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.flush()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The kernel's name for the time since the machine started.
///
/// # Errors
/// There is no proc file system.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Whether a process holds the lock on this file.
pub(crate) fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    Flock::lock(file, FlockArg::LockSharedNonblock).is_err()
}
