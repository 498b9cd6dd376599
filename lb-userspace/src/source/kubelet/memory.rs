//! What was ready, so that a restart of the agent empties no Service: `readiness.json`.
//!
//! A kubelet that restarts leaves the status of its Pods as it is until probes say something else.
//! Here the file holds what the API server holds there. It means nothing after the machine has
//! started anew, because then the Pods have, too.

use crate::model::status;
use crate::source::readiness::Readiness;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "readiness.json";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Memory {
    /// The kernel's name for the time since the machine started.
    boot: String,
    /// What was ready, by the names of probes.
    ready: BTreeSet<String>,
}

impl Memory {
    /// What the file in `state_dir` says of this boot. One that cannot be read says nothing: all
    /// that is lost is found again within some periods.
    pub(super) fn load(state_dir: &Path) -> Self {
        let boot = boot();
        let read = fs::read(path(state_dir)).ok();
        let known = read.and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        known.filter(|known| known.boot == boot).unwrap_or(Self { boot, ready: BTreeSet::new() })
    }

    /// Whether this was ready.
    pub(super) fn was_ready(&self, probe: &str) -> bool {
        self.ready.contains(probe)
    }

    /// What is ready now. If it is not `whole`, what it does not speak of stays as it was.
    #[must_use]
    pub(super) fn now(&self, readiness: &Readiness, whole: bool) -> Self {
        let mut ready = if whole { BTreeSet::new() } else { self.ready.clone() };
        for (probed, finding) in &readiness.0 {
            if finding.ready {
                ready.insert(probed.to_string());
            } else {
                ready.remove(&probed.to_string());
            }
        }
        Self { boot: self.boot.clone(), ready }
    }

    /// Replaces the file in `state_dir`.
    pub(super) fn save(&self, state_dir: &Path) -> Result<()> {
        fs::create_dir_all(state_dir)
            .with_context(|| format!("creating {}", state_dir.display()))?;
        status::replace(&path(state_dir), self).context("replacing the file")
    }
}

/// The file in `state_dir`.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

fn boot() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}
