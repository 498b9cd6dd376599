//! inotify as a hint that something happened below the folder; what it was, the next round sees.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Between two looks without a hint.
const LOOK: Duration = Duration::from_millis(500);
/// Several files saved at once are one round, if no more than this lies between them.
const QUIET: Duration = Duration::from_millis(50);
/// Somebody who never stops writing must not keep the rest waiting for longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Wakes the follower.
#[derive(Clone, Debug, Default)]
pub(super) struct Wake(Arc<Notify>);

impl Wake {
    /// Something has happened.
    pub(super) fn hint(&self) {
        self.0.notify_one();
    }

    /// True after a hint and the quiet behind it, false when it is merely time to look.
    pub(super) async fn next(&self) -> bool {
        if timeout(LOOK, self.0.notified()).await.is_err() {
            return false;
        }
        let quiet = async { while timeout(QUIET, self.0.notified()).await.is_ok() {} };
        drop(timeout(PATIENCE, quiet).await);
        true
    }
}

/// The watched folder.
#[derive(Debug)]
pub(super) struct Watch {
    dir: PathBuf,
    wake: Wake,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder that is watched: another one may take its place.
    identity: Option<(u64, u64)>,
    trouble: Option<String>,
}

impl Watch {
    pub(super) fn new(dir: &Path, wake: Wake) -> Self {
        Self { dir: dir.to_owned(), wake, watcher: None, identity: None, trouble: None }
    }

    /// Watches the folder that is there now; true if it was not watched before.
    pub(super) fn renew(&mut self) -> bool {
        let identity = std::fs::metadata(&self.dir).ok().map(|folder| (folder.dev(), folder.ino()));
        if identity == self.identity {
            return false;
        }
        self.identity = identity;
        // The old watch ends before the new one begins: both count against the same limit.
        self.watcher = None;
        self.trouble = None;
        match identity.map(|_| watcher(&self.dir, self.wake.clone())).transpose() {
            Ok(watcher) => self.watcher = watcher,
            Err(error) => {
                let trouble =
                    format!("cannot be watched ({error}); it is looked at twice a second");
                self.trouble = Some(trouble);
            }
        }
        true
    }

    /// Why there are no hints, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}

fn watcher(dir: &Path, wake: Wake) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) {
            wake.hint();
        }
    })?;
    watcher.watch(dir, RecursiveMode::Recursive)?;
    Ok(watcher)
}

/// Reading is no change, or every round would start the next.
fn is_change(kind: EventKind) -> bool {
    !kind.is_access() || kind == EventKind::Access(AccessKind::Close(AccessMode::Write))
}
