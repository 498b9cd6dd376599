//! A Kubernetes API server, followed by watches: the source on clusters.
//!
//! One task a kind (`watch`) lists and watches and starts again whatever happens; `store` turns
//! what they see into changes. An API server that is away says nothing: what was known stays, and
//! the differences come when it is back. Objects are cut down to the model at the door.

/// How to reach the API server.
mod client;
/// How long to wait until the next try.
mod delay;
/// Events of watches to changes of the model.
mod store;
/// One kind of objects, followed for ever.
mod watch;

pub use client::Access;

use crate::model::{Change, Node};
use ::kube::Client;
use anyhow::{Context as _, Result};
use store::Store;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
pub use watch::Scope;
use watch::{Kind, Seen};

/// What the watches may be ahead of the store.
const QUEUE: usize = 256;

/// A Kubernetes API server.
pub struct Cluster {
    client: Client,
    /// Its address, for people.
    server: String,
    node: String,
    scope: Scope,
}

impl Cluster {
    /// The API server that `access` leads to, followed for the node `node` as far as `scope` says.
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// The kubeconfig cannot be read, or the certificates in it cannot be used.
    pub async fn new(access: &Access, node: String, scope: Scope) -> Result<Self> {
        let (client, server) = client::connect(access).await?;
        Ok(Self { client, server, node, scope })
    }

    /// The client, for what is told to the server.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where it is, for people.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Reports everything that exists, then `Change::Synced`, then every change, until nobody
    /// listens any more.
    pub async fn run(self, changes: Sender<Change>) -> Result<()> {
        let (events_in, mut events) = mpsc::channel::<(Kind, Seen)>(QUEUE);
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let watched = kind.api(&self.client);
            let configs = kind.configs(&self.node, self.scope);
            watches.spawn(watch::follow(kind, watched, configs, events_in.clone()));
        }
        drop(events_in);
        let mut store = Store::new(&self.server, Node { name: self.node, ..Node::default() });
        while let Some((kind, seen)) = events.recv().await {
            for change in store.take(kind, seen) {
                if changes.send(change).await.is_err() {
                    return Ok(());
                }
            }
        }
        // They end only when something in them broke.
        let ended = watches.join_next().await.context("nothing is watched")?;
        ended.context("watching the API server")
    }
}

#[cfg(test)]
mod tests;
