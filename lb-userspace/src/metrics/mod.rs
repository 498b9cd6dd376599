//! Numbers for Prometheus: what the loop did, how it stands, what went through the maps.
//!
//! Three sources. [`Progress`] is counted by the agent's loop where things happen; [`Condition`] is
//! what the loop answers when it is asked; a [`Reading`] comes from the pinned maps, through
//! descriptors of its own, on a thread of its own: the loop is never kept from its work by a walk
//! over counters. Names are kube-proxy's where it has the number, `lb_` begins the others; all of
//! them stand in `about`.

/// Names and explanations of all metrics.
mod about;
/// What the name server does.
pub mod dns;
/// What the loop did.
mod progress;
/// What the maps say.
mod reading;
/// Counters by name, no more of them than allowed.
mod series;
/// All of it as text.
mod text;

use crate::compile::Family;
use crate::reconcile::Policy;
use std::collections::BTreeMap;

pub use progress::Progress;
pub use reading::{Reader, Reading};
pub use series::Limits;
pub use text::{CONTENT_TYPE, Scrape, text};

/// How the agent stands, by its own account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Why it is not ready, as a sentence; `None`: it is.
    pub obstacle: Option<String>,
    /// Every object that existed at the start has been reported.
    pub synced: bool,
    /// Kinds that the API server was asked about, and whether it answers; none where objects come
    /// from elsewhere.
    pub watched: BTreeMap<&'static str, bool>,
    /// How many problems `status.json` lists.
    pub problems: usize,
    /// Connections of another proxy that are left to it; `None`: nobody has looked.
    pub foreign_connections: Option<usize>,
    /// Entries in the maps that the agent fills.
    pub entries: Vec<(&'static str, usize)>,
    /// Service ports that lack an endpoint on this node, see `Tables::without_local_endpoints`.
    pub without_local_endpoints: BTreeMap<(Policy, Family), usize>,
}

#[cfg(test)]
mod tests;
