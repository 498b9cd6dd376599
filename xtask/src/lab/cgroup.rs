//! Control groups: one folder for a lab, one in it for each host.
//!
//! They are what socket programs are attached to, and they are the record of which processes a lab
//! has started: whatever these fork stays in them, so none is missed and no stranger is hit.

use super::{gate, remove};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Creates the folder of a lab's host.
pub(super) fn create(id: &str, host: &str) -> Result<PathBuf> {
    let folder = mount()?.join(id).join(host);
    let _pass = gate::pass();
    fs::create_dir_all(&folder).with_context(|| format!("creating cgroup {}", folder.display()))?;
    Ok(folder)
}

/// Moves this process into `folder`.
pub(super) fn join(folder: &Path) -> Result<()> {
    let procs = folder.join("cgroup.procs");
    fs::write(&procs, "0").with_context(|| format!("joining {}", procs.display()))
}

/// Kills every process of a lab and waits until they are gone.
pub(super) fn kill(id: &str) -> Result<()> {
    let folder = mount()?.join(id);
    let file = folder.join("cgroup.kill");
    remove::gone(fs::write(&file, "1")).with_context(|| format!("writing {}", file.display()))?;
    let deadline = Instant::now() + PATIENCE;
    while is_populated(&folder) {
        if Instant::now() > deadline {
            bail!("processes of {} outlive SIGKILL by {PATIENCE:?}", folder.display());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Removes a lab's folders.
pub(super) fn remove(id: &str) -> Result<()> {
    let folder = mount()?.join(id);
    remove::gone(remove_tree(&folder)).with_context(|| format!("removing {}", folder.display()))
}

/// Files in these folders come and go with them: only folders can be removed.
fn remove_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn is_populated(folder: &Path) -> bool {
    let events = fs::read_to_string(folder.join("cgroup.events"));
    events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or below it beside v1.
fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    find(&mounts).context("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup")
}

fn find(mounts: &str) -> Option<PathBuf> {
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find_map(|fields| match fields.as_slice() {
        [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_is_found_beside_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(find(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find("proc /proc proc rw 0 0\n"), None);
    }
}
