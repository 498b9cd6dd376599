//! A control group (version 2) for the simulated processes of the node: socket programs are
//! attached to it, and whatever socket is made in it is theirs.
//!
//! The kernel asks where a *process* is, so the whole of this one moves in, and back out at the
//! end. Nobody else is ever in it, and only sockets of the private network namespace are looked at.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How the names of all of them begin.
const PREFIX: &str = "lb-simulate-";

/// A process is in one control group at a time.
static ONE: Mutex<()> = Mutex::new(());

/// The control group that this process is in for a while.
pub(super) struct Cgroup {
    own: PathBuf,
    /// Where the process was before.
    home: PathBuf,
    _one: MutexGuard<'static, ()>,
}

impl Cgroup {
    /// Makes one and moves in.
    ///
    /// # Errors
    /// There is no hierarchy of version 2, or it may not be written.
    pub(super) fn join() -> Result<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = home()?;
        sweep(&home);
        let own = home.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&own).with_context(|| format!("making cgroup {}", own.display()))?;
        let cgroup = Self { own, home, _one: one };
        enter(&cgroup.own)?;
        Ok(cgroup)
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.own
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let left = enter(&self.home).and_then(|()| {
            fs::remove_dir(&self.own)
                .with_context(|| format!("removing cgroup {}", self.own.display()))
        });
        if let Err(error) = left {
            tracing::warn!("{error:#}");
        }
    }
}

/// Moves this process in.
fn enter(folder: &Path) -> Result<()> {
    let procs = folder.join("cgroup.procs");
    // 0 is whoever writes it.
    fs::write(&procs, "0").with_context(|| format!("writing {}", procs.display()))
}

/// Removes what runs that were killed left behind. A folder with a process in it stays.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The folder of the control group that this process is in.
fn home() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let own = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
    find(&mounts, &own).context(
        "no cgroup of version 2 is mounted, so processes of the node cannot be simulated \
         (mount -t cgroup2 none /sys/fs/cgroup)",
    )
}

/// From lines `DEVICE FOLDER TYPE ...`, and the line `0::PATH`.
fn find(mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(folder)
    })?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_either_kind_of_mount() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let found = |mounts, own| find(mounts, own).map(|path| path.display().to_string());
        assert_eq!(
            found(hybrid, "4:memory:/x\n0::/\n").as_deref(),
            Some("/sys/fs/cgroup/unified/")
        );
        assert_eq!(
            found(unified, "0::/user.slice/a.scope\n").as_deref(),
            Some("/sys/fs/cgroup/user.slice/a.scope")
        );
        assert_eq!(found("proc /proc proc rw 0 0\n", "0::/\n"), None);
    }
}
