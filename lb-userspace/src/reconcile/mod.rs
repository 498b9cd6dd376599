//! Plans to tables, tables to edits. Pure: no kernel, no clock, no I/O.
//!
//! Before: `compile` says what a Service means. After: `bpf` applies the edits in the order given.
//! The state of all tables is a value ([`Tables`]); at start it is read from the kernel, so a
//! restart is an ordinary difference.

/// Ids, generations and slot ranges.
pub mod ids;
/// Who owns which part of the tables.
pub mod planner;
/// The wanted or actual content of the maps, and the way from one to the other.
pub mod tables;

pub use planner::Planner;
pub use tables::{Edit, Tables};

#[cfg(test)]
mod tests;
