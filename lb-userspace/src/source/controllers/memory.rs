//! What Services were given, so that a restart gives it again: `allocations.json`.
//!
//! The file is replaced as a whole and reaches the disk before anything is announced. One that
//! cannot be read is set aside and a new one is begun: names are hashed, so most Services get
//! what they had.

use crate::model::ObjectName;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const FILE: &str = "allocations.json";
/// Moves when an older agent could not read the file any more.
const VERSION: u32 = 1;

/// Addresses and node ports by Service (`namespace/name`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    version: u32,
    #[serde(rename = "clusterIPs")]
    cluster_ips: BTreeMap<String, Vec<IpAddr>>,
    node_ports: BTreeMap<String, BTreeMap<String, u16>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { version: VERSION, cluster_ips: BTreeMap::new(), node_ports: BTreeMap::new() }
    }
}

impl Memory {
    /// What the file in `state_dir` says, or nothing and the reason.
    pub fn load(state_dir: &Path) -> (Self, Option<String>) {
        let path = state_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return (Self::default(), None),
            Err(error) => {
                return (Self::default(), Some(format!("cannot be read ({error}); started over")));
            }
        };
        match Self::parse(&text) {
            Ok(memory) => (memory, None),
            Err(error) => (Self::default(), Some(set_aside(&path, &error))),
        }
    }

    fn parse(text: &[u8]) -> anyhow::Result<Self> {
        let memory: Self = serde_json::from_slice(text)?;
        anyhow::ensure!(
            memory.version == VERSION,
            "version {}, expected {VERSION}",
            memory.version
        );
        Ok(memory)
    }

    /// Replaces the file in `state_dir`, so that there is always a whole one.
    pub fn save(&self, state_dir: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(state_dir)
            .with_context(|| format!("creating {}", state_dir.display()))?;
        let mut file =
            tempfile::NamedTempFile::new_in(state_dir).context("creating a temporary file")?;
        serde_json::to_writer_pretty(&mut file, self).context("writing allocations")?;
        file.write_all(b"\n").context("writing allocations")?;
        file.as_file().sync_all().context("writing allocations to the disk")?;
        file.persist(state_dir.join(FILE)).context("renaming the temporary file")?;
        File::open(state_dir)?.sync_all().context("writing the folder to the disk")
    }

    /// Path of the file in `state_dir`.
    pub fn path(state_dir: &Path) -> PathBuf {
        state_dir.join(FILE)
    }

    /// Forgets the Services that `keep` does not know.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.cluster_ips.retain(|name, _| keep(name));
        self.node_ports.retain(|name, _| keep(name));
    }

    /// The addresses that Service `name` had.
    pub(super) fn ips(&self, name: &ObjectName) -> &[IpAddr] {
        self.cluster_ips.get(&name.to_string()).map_or(&[], Vec::as_slice)
    }

    /// Every address that some Service had: also one whose manifest cannot be read just now.
    pub(super) fn all_ips(&self) -> BTreeSet<IpAddr> {
        self.cluster_ips.values().flatten().copied().collect()
    }

    /// Every number that some Service had.
    pub(super) fn all_ports(&self) -> BTreeSet<u16> {
        self.node_ports.values().flat_map(BTreeMap::values).copied().collect()
    }

    /// The number that `label` of Service `name` had.
    pub(super) fn port(&self, name: &ObjectName, label: &str) -> Option<u16> {
        self.node_ports.get(&name.to_string())?.get(label).copied()
    }

    pub(super) fn remember_ips<'a>(
        &mut self,
        given: impl Iterator<Item = (&'a ObjectName, &'a [IpAddr])>,
    ) {
        for (name, addresses) in given {
            self.cluster_ips.insert(name.to_string(), addresses.to_vec());
        }
    }

    /// A Service that has no number just now keeps those it had in mind.
    pub(super) fn remember_ports(&mut self, name: &ObjectName, ports: BTreeMap<String, u16>) {
        if !ports.is_empty() {
            self.node_ports.entry(name.to_string()).or_default().extend(ports);
        }
    }
}

/// Moves a file away that says nothing, for a person to look at.
fn set_aside(path: &Path, error: &anyhow::Error) -> String {
    let aside = path.with_extension("json.unreadable");
    match fs::rename(path, &aside) {
        Ok(()) => format!("says nothing ({error}); kept as {}, started over", aside.display()),
        Err(_) => format!("says nothing ({error}); started over"),
    }
}
