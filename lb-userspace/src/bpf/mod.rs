//! The kernel half: load, pin, attach, read, apply. The only place that knows aya.
//!
//! Takes the wanted tables from `reconcile` and never decides what should be in them.

/// One bridge between the two crates' words for "plain bytes".
mod raw;
/// Programs into the kernel.
pub mod loader;
/// Where everything is pinned.
pub mod pin;
/// The kernel's clock.
pub mod clock;
/// Whether the agent's name server answers.
pub mod heartbeat;
/// Typed access to the maps.
pub mod maps;
/// What programs remember of clients.
mod clients;
/// Flows of another proxy in the table of flows.
mod foreign;
/// Programs onto links and the cgroup.
pub mod attach;
/// All of it together.
pub mod datapath;
/// Programs that no packet meets but those that are handed to them.
pub mod private;

pub use raw::{Raw, own_netns_cookie};
