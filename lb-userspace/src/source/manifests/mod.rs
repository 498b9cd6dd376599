//! A folder of manifests, followed live: the source for hosts without a Kubernetes API.
//!
//! One round is: list and read the folder (`folder`), remember what could be read (`library`), let
//! the controllers add what is theirs, and report the differences to the last round (`difference`).
//! Rounds are started by news of readiness probes, by inotify and, because inotify misses things
//! (targets of symlinks, network file systems, full queues), by a look at sizes and times twice a
//! second.
//! A folder that is missing says nothing: the last good state stays until it is back.

mod difference;
mod folder;
pub(crate) mod library;
mod round;
mod watch;

use crate::model::{Change, Problem};
use crate::source::controllers::Objects;
use crate::source::settings::Settings;
use anyhow::Context;
use library::Library;
use round::{Cause, Follower};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use watch::{Wake, Watch};

/// What probes find within this time is told together.
const GATHER: Duration = Duration::from_millis(20);

/// The objects of a folder that has only the file `path` with this text, and what is wrong with
/// them.
pub fn objects(path: &Path, text: &str) -> (Objects, Vec<Problem>) {
    let mut library = Library::default();
    library.update(path, Ok(text.to_owned()));
    library.objects()
}

/// A folder of manifests.
#[derive(Clone, Debug)]
pub struct Manifests {
    settings: Settings,
}

impl Manifests {
    /// The folder that `settings` name. Nothing is read yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.settings.dir
    }

    /// Reports all of the folder, then `Change::Synced`, then every difference, until nobody
    /// listens any more. While the folder has never been readable, it is not synced.
    pub async fn run(self, tx: Sender<Change>) -> anyhow::Result<()> {
        let wake = Wake::default();
        let mut watch = Watch::new(&self.settings.dir, wake.clone());
        let mut follower = Follower::new(self.settings);
        let news = follower.news();
        let mut cause = Cause::Hint;
        loop {
            let changes;
            (watch, follower, changes) = round(watch, follower, cause).await?;
            for change in changes {
                if tx.send(change).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = tx.closed() => return Ok(()),
                hint = wake.next() => cause = if hint { Cause::Hint } else { Cause::Time },
                () = news.next() => {
                    // Probes of Pods that start together often end together.
                    tokio::time::sleep(GATHER).await;
                    cause = Cause::News;
                }
            }
        }
    }
}

/// One round on a thread that may block. The watch comes first: what changes while the folder is
/// being read starts another round.
async fn round(
    mut watch: Watch,
    mut follower: Follower,
    cause: Cause,
) -> anyhow::Result<(Watch, Follower, Vec<Change>)> {
    let task = tokio::task::spawn_blocking(move || {
        let renewed = watch.renew();
        let cause = if renewed { Cause::Hint } else { cause };
        let changes = follower.look(cause, watch.trouble());
        (watch, follower, changes)
    });
    task.await.context("reading the manifests")
}
