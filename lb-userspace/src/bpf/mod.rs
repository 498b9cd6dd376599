//! The kernel half: load, pin, attach, read, apply. The only place that knows aya.
//!
//! Takes the wanted tables from `reconcile` and never decides what should be in them.

/// One bridge between the two crates' words for "plain bytes".
mod raw;
/// Programs into the kernel.
pub mod loader;
/// Typed access to the maps.
pub mod maps;
/// Packets through loaded programs, without a network.
pub mod test_run;

pub use raw::Raw;
