//! Takes away everything that bears a lab's name.
//!
//! The same code ends a lab that is dropped, one whose process is told to end, and one whose owner
//! died: it goes by names alone.

use super::{bpffs, cgroup, claim, netns};
use anyhow::{Context, Result};
use std::fs;
use std::io;

/// Removes the lab `id`: its processes first, its claim last.
pub(super) fn all(id: &str) -> Result<()> {
    let parts = [cgroup::kill(id), bpffs::remove(id), cgroup::remove(id), netns::remove(id)];
    for part in parts {
        part.with_context(|| format!("removing the lab {id}"))?;
    }
    gone(fs::remove_dir_all(claim::folder(id))).with_context(|| format!("removing the claim {id}"))
}

/// Removes the lab `id` where an error can only be shown.
pub(super) fn report(id: &str) {
    if let Err(error) = all(id) {
        eprintln!("lab: {error:#}");
    }
}

/// That something is not there is what was wanted.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
