//! Files of `/etc` that a host has of its own, such as a pod's `resolv.conf`.
//!
//! Its programs run in a mount namespace of their own, in which each file of the host's folder lies
//! over the one of the same name in `/etc`, as `ip netns exec` does it with `/etc/netns/NAME`. The
//! machine's own files are not touched, and the mounts end with the program.

use super::claim;
use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a host's files are, if it has any.
pub(super) fn folder(id: &str, host: &str) -> PathBuf {
    claim::folder(id).join(host).join("etc")
}

/// Lays the files of a folder over those of `/etc`, for this process and its children.
pub(super) fn overlay(folder: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("creating a mount namespace")?;
    // Nothing leaves it, but a namespace that the lab removes is unmounted here too.
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("leaving shared mounts")?;
    let files = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for file in files {
        let file = file.with_context(|| format!("reading {}", folder.display()))?;
        let over = Path::new("/etc").join(file.file_name());
        mount(Some(&file.path()), &over, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("mounting {} at {}", file.path().display(), over.display()))?;
    }
    Ok(())
}
