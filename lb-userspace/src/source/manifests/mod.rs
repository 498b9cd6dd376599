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
use std::pin::Pin;
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
        let mut news = follower.news();
        let hint = wake.next();
        tokio::pin!(hint);
        let mut cause = Cause::Hint;
        loop {
            let changes;
            (watch, follower, changes) = round(watch, follower, cause).await?;
            for change in changes {
                if tx.send(change).await.is_err() {
                    return Ok(());
                }
            }
            cause = tokio::select! {
                () = tx.closed() => return Ok(()),
                next = next(hint.as_mut(), || wake.next(), news.next()) => next,
            };
        }
    }
}

/// Why the next round is. While probes are first, `hint` stays as it is: it may have heard of
/// something that it waits to be quiet about. `again` begins the one after it.
async fn next<F: Future<Output = bool>>(
    mut hint: Pin<&mut F>,
    again: impl Fn() -> F,
    news: impl Future<Output = ()>,
) -> Cause {
    tokio::select! {
        is_hint = hint.as_mut() => {
            hint.set(again());
            if is_hint { Cause::Hint } else { Cause::Time }
        }
        () = news => {
            // Probes of Pods that start together often end together.
            tokio::time::sleep(GATHER).await;
            Cause::News
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn a_hint_is_not_lost_when_probes_are_first() {
        let wake = Wake::default();
        let hint = wake.next();
        tokio::pin!(hint);
        wake.hint();
        let again = || wake.next();
        assert_eq!(next(hint.as_mut(), again, ready(())).await, Cause::News);
        assert_eq!(next(hint.as_mut(), again, pending()).await, Cause::Hint);
        assert_eq!(next(hint.as_mut(), again, pending()).await, Cause::Time);
    }
}
