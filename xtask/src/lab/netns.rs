//! Network namespaces with names, where `ip netns` finds them too.

use super::{gate, remove};
use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{self, File};
use std::panic;
use std::path::{Path, PathBuf};
use std::thread;

const FOLDER: &str = "/run/netns";

/// The namespace of the thread that opens it.
const OWN: &str = "/proc/thread-self/ns/net";

/// Creates a namespace for a lab's host.
pub(super) fn create(id: &str, host: &str) -> Result<PathBuf> {
    fs::create_dir_all(FOLDER).with_context(|| format!("creating {FOLDER}"))?;
    let path = Path::new(FOLDER).join(format!("{id}-{host}"));
    let _pass = gate::pass();
    File::create_new(&path).with_context(|| format!("creating {}", path.display()))?;
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).context("creating a network namespace")?;
        mount(Some(OWN), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("naming a network namespace {}", path.display()))
    })?;
    Ok(path)
}

/// Does `work` inside a namespace, on a thread of its own that is never used again.
pub(super) fn within<T: Send>(netns: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_a_thread(|| {
        enter(netns)?;
        work()
    })
}

/// Moves this thread into a namespace.
pub(super) fn enter(netns: &Path) -> Result<()> {
    let file = open(netns)?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", netns.display()))
}

/// A handle of a namespace, as netlink wants it.
pub(super) fn open(netns: &Path) -> Result<File> {
    File::open(netns).with_context(|| format!("opening {}", netns.display()))
}

/// Removes a lab's namespaces and with them every link in them.
pub(super) fn remove(id: &str) -> Result<()> {
    let prefix = format!("{id}-");
    let Ok(entries) = fs::read_dir(FOLDER) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            let path = entry.path();
            // Not mounted: its owner died before it was.
            let _unmounted = umount2(&path, MntFlags::MNT_DETACH);
            remove::gone(fs::remove_file(&path))
                .with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let joined = thread::scope(|scope| scope.spawn(work).join());
    joined.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
