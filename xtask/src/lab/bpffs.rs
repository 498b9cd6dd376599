//! Folders for pinned BPF objects, one per host that asks for it.

use super::{gate, remove};
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/bpf";

/// Creates the folder of a lab's host.
pub(super) fn create(id: &str, host: &str) -> Result<PathBuf> {
    ensure_mounted()?;
    let folder = Path::new(MOUNT).join(format!("{id}-{host}"));
    let _pass = gate::pass();
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// Removes a lab's folders with all that is pinned in them.
pub(super) fn remove(id: &str) -> Result<()> {
    let prefix = format!("{id}-");
    // Not there: no lab ever asked for a folder.
    let Ok(entries) = fs::read_dir(MOUNT) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let path = entry.path();
            remove::gone(fs::remove_dir_all(&path))
                .with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// systemd mounts it at boot, others may not. It stays mounted: another lab may use it by then.
fn ensure_mounted() -> Result<()> {
    let found = statfs(MOUNT).with_context(|| format!("looking at {MOUNT}"))?;
    if found.filesystem_type() == BPF_FS_MAGIC {
        return Ok(());
    }
    mount(Some("bpf"), MOUNT, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mounting bpffs on {MOUNT}"))
}
