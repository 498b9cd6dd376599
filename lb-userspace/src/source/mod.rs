//! Objects to model: a folder of manifests, or what an API server says, becomes the values that
//! every later stage reads.
//!
//! The way of an object: `manifests` finds its file, `document` reads it, `controllers` add what a
//! control plane would have added (addresses, node ports, endpoints), `convert` checks every field
//! and applies Kubernetes' defaults. The neighbour downstream is `model`; nothing here knows
//! routes, maps or packets. An object that is wrong becomes a `Problem` and harms no other.

/// What a source finds wrong while it reads one object.
pub mod report;
/// What the operator decided.
pub mod settings;

/// Text to Kubernetes objects.
mod document;

/// One Kubernetes object to one model value.
pub mod convert;

/// Objects as a watch delivers them.
mod delivered;

/// What probes found.
pub mod readiness;

/// What the control plane would do where there is none.
pub mod controllers;

/// What a kubelet would do where there is none.
mod kubelet;

/// A folder, followed live.
pub mod manifests;

/// A Kubernetes API server.
pub mod kube;

use crate::model::Change;
use tokio::sync::mpsc::Sender;

pub use self::kube::{Access, Cluster, Scope};
pub use delivered::{Delivered, delivered};
pub use manifests::Manifests;
pub use readiness::Readiness;
pub use report::Report;
pub use settings::Settings;

/// Where objects come from.
pub enum Source {
    /// A folder.
    Manifests(Manifests),
    /// An API server.
    Cluster(Cluster),
}

impl Source {
    /// Its name, for people.
    pub fn name(&self) -> String {
        match self {
            Self::Manifests(manifests) => format!("manifests {}", manifests.dir().display()),
            Self::Cluster(cluster) => format!("API server {}", cluster.server()),
        }
    }

    /// Reports everything that exists, then [`Change::Synced`], then every change, until nobody
    /// listens any more.
    ///
    /// # Errors
    /// It broke and cannot be started again.
    pub async fn run(self, changes: Sender<Change>) -> anyhow::Result<()> {
        match self {
            Self::Manifests(manifests) => manifests.run(changes).await,
            Self::Cluster(cluster) => cluster.run(changes).await,
        }
    }
}

#[cfg(test)]
mod tests;
