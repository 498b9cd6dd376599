//! What must hold for any input: one module per target, each a `run` that panics if it does not.
//!
//! `cargo xtask fuzz` drives the targets with libFuzzer, by way of the programs in `targets/`. A
//! file in `corpus/` or `crashes/` is an input as it stands, and `tests/replay.rs` gives them all to
//! their targets again: what was found once is looked for by every `cargo test`.
//! Where bytes at random would get no further than the first check, a target has a mutator that
//! knows the form of its input ([`mutate`]).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a target that finds something panics"
)]

/// Inputs to other inputs.
pub mod mutate;
/// Objects to a snapshot, as the agent's source does it.
mod source;
/// The text of a manifest.
pub mod manifests;
/// Objects, through all stages up to the tables.
pub mod objects;
/// `allocations.json`.
pub mod allocations;
/// `status.json`.
pub mod status;
/// Questions to the name server.
pub mod dns;
/// Packets, through the programs in the kernel.
pub mod programs;

/// Something that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its program, and of its folders in `corpus` and `crashes`.
    pub name: &'static str,
    /// What must not panic.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "manifests", run: manifests::run },
    Target { name: "objects", run: objects::run },
    Target { name: "allocations", run: allocations::run },
    Target { name: "status", run: status::run },
    Target { name: "dns", run: dns::run },
    Target { name: "programs", run: programs::run },
];
