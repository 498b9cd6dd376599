//! The name of a lab and the folder that claims it.
//!
//! `/run/lb-lab/ID` exists before anything else of a lab does and goes after everything else, so
//! it is the list of what may have been left behind. Its owner holds a lock in it: the kernel
//! drops the lock when the owner dies, in whatever way, and from then on anybody may sweep.

use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every lab on this machine has a folder here.
const CLAIMS: &str = "/run/lb-lab";

/// Numbers the labs of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A lab's name, ours until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    id: String,
    _lock: File,
}

impl Claim {
    /// Claims a name that no other lab has, alive or left behind.
    pub(super) fn new() -> Result<Self> {
        let _serial = serialize()?;
        let id = loop {
            let id = format!("lb-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            match fs::create_dir(folder(&id)) {
                Ok(()) => break id,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("claiming {id}")),
            }
        };
        let lock = File::create(lock_file(&id)).context("creating the lab's lock")?;
        lock.lock().context("locking the lab's lock")?;
        Ok(Self { id, _lock: lock })
    }

    /// `lb-PID-NUMBER`.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

/// A lab's own folder: logs and the state of its hosts.
pub(super) fn folder(id: &str) -> PathBuf {
    Path::new(CLAIMS).join(id)
}

/// Gives every lab whose owner is dead to `remove`.
pub(super) fn abandoned(mut remove: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let _serial = serialize()?;
    let folders = fs::read_dir(CLAIMS).with_context(|| format!("reading {CLAIMS}"))?;
    for entry in folders.flatten().filter(|entry| entry.path().is_dir()) {
        let id = entry.file_name().to_string_lossy().into_owned();
        // Held until the lab is gone. No lock file: its owner died between the two steps.
        let lock = File::open(lock_file(&id));
        let owned = |lock: &File| matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
        if !lock.as_ref().is_ok_and(owned) {
            remove(&id)?;
        }
    }
    Ok(())
}

/// One process at a time claims or sweeps: a sweep must not see a claim half made.
fn serialize() -> Result<File> {
    fs::create_dir_all(CLAIMS).with_context(|| format!("creating {CLAIMS}"))?;
    let file = File::create(Path::new(CLAIMS).join("lock")).context("creating the labs' lock")?;
    file.lock().context("locking the labs' lock")?;
    Ok(file)
}

fn lock_file(id: &str) -> PathBuf {
    folder(id).join("lock")
}
