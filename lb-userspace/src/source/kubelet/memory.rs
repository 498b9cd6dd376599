//! What was ready, so that a restart of the agent empties no Service: `readiness.json`.
//!
//! A kubelet that restarts leaves the status of its Pods as it is until probes say something else.
//! Here the file holds what the API server holds there. It means nothing after the machine has
//! started anew, because then the Pods have, too.

use crate::model::status;
use crate::source::readiness::Readiness;
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

const FILE: &str = "readiness.json";

/// Bytes of the file; 5,000 probes with the longest names fit.
const MOST_BYTES: u64 = 8 << 20;

/// What was ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Memory {
    /// The kernel's name for the time since the machine started.
    boot: String,
    /// What was ready, by the names of probes.
    ready: BTreeSet<String>,
}

/// What an agent finds when it starts.
pub(super) struct Loaded {
    /// What holds of it.
    pub(super) memory: Memory,
    /// The file says just this.
    pub(super) is_on_disk: bool,
    /// Why nothing of it holds, if a person should know.
    pub(super) trouble: Option<String>,
}

impl Memory {
    /// What the file in `state_dir` says of this boot. One that cannot be read says nothing: all
    /// that is lost is found again within some periods.
    pub(super) fn load(state_dir: &Path) -> Loaded {
        Self::of_boot(state_dir, boot())
    }

    fn of_boot(state_dir: &Path, boot: String) -> Loaded {
        let empty = Self { boot, ready: BTreeSet::new() };
        match read(&path(state_dir)) {
            Ok(None) => Loaded { memory: empty, is_on_disk: true, trouble: None },
            // A boot without a name might be any other.
            Ok(Some(known)) if known.boot == empty.boot && !known.boot.is_empty() => {
                Loaded { memory: known, is_on_disk: true, trouble: None }
            }
            Ok(Some(_)) => Loaded { memory: empty, is_on_disk: false, trouble: None },
            Err(error) => {
                let trouble = format!("cannot be read ({error:#}); all probes are asked anew");
                Loaded { memory: empty, is_on_disk: false, trouble: Some(trouble) }
            }
        }
    }

    /// Whether this was ready; asked a second time, it was not. Whoever comes later under the same
    /// name is somebody else.
    pub(super) fn take(&mut self, probe: &str) -> bool {
        self.ready.remove(probe)
    }

    /// What was not taken so far will not be.
    pub(super) fn forget(&mut self) {
        self.ready.clear();
    }

    /// With what is ready now.
    #[must_use]
    pub(super) fn and(&self, readiness: &Readiness) -> Self {
        let now = readiness.0.iter().filter(|(_, finding)| finding.ready);
        let ready = now.map(|(probed, _)| probed.to_string());
        Self { boot: self.boot.clone(), ready: self.ready.iter().cloned().chain(ready).collect() }
    }

    /// Replaces the file in `state_dir`.
    pub(super) fn save(&self, state_dir: &Path) -> Result<()> {
        fs::create_dir_all(state_dir)
            .with_context(|| format!("creating {}", state_dir.display()))?;
        let path = path(state_dir);
        let replaced = status::replace(&path, self).context("replacing the file");
        if replaced.is_err() {
            // What it says is over. No file is better than a wrong one.
            let _ = fs::remove_file(&path);
        }
        replaced
    }
}

/// The file at `path`, if there is one.
fn read(path: &Path) -> Result<Option<Memory>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    let len = file.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    ensure!(u64::try_from(len)? <= MOST_BYTES, "it is larger than {MOST_BYTES} bytes");
    Ok(serde_json::from_slice(&text)?)
}

/// The file in `state_dir`.
pub(super) fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

fn boot() -> String {
    status::boot_id().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "Pod default/a container c at 10.0.0.1";

    fn loaded(text: &str, boot: &str) -> (bool, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(path(dir.path()), text).unwrap();
        let Loaded { mut memory, trouble, .. } = Memory::of_boot(dir.path(), boot.to_owned());
        (memory.take(NAME), trouble)
    }

    fn of_boot(boot: &str) -> String {
        format!(r#"{{"boot": "{boot}", "ready": ["{NAME}"]}}"#)
    }

    #[test]
    fn what_was_ready_in_this_boot_holds_and_in_another_not() {
        assert_eq!(loaded(&of_boot("x"), "x"), (true, None));
        assert_eq!(loaded(&of_boot("y"), "x"), (false, None));
        assert_eq!(loaded(&of_boot(""), ""), (false, None));
    }

    #[test]
    fn a_file_that_says_nothing_is_told() {
        let trouble = |text: &str| loaded(text, "x").1.unwrap_or_default();
        assert!(trouble("{").starts_with("cannot be read (EOF"), "{}", trouble("{"));
        let long = " ".repeat(9 << 20);
        assert!(trouble(&long).contains("it is larger than"), "{}", trouble(&long));
        let nowhere = Memory::of_boot(Path::new("/nowhere"), "x".to_owned());
        assert_eq!(nowhere.trouble, None);
    }

    #[test]
    fn what_was_ready_counts_once() {
        let mut memory = Memory { boot: "x".to_owned(), ready: [NAME.to_owned()].into() };
        assert!(memory.take(NAME));
        assert!(!memory.take(NAME));
    }
}
