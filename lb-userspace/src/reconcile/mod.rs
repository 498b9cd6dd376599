//! Plans to tables, tables to edits. Pure: no kernel, no clock, no I/O.
//!
//! Before: `compile` says what a Service means. After: `bpf` applies the edits in the order given.
//! The state of all tables is a value ([`Tables`]); at start it is read from the kernel, so a
//! restart is an ordinary difference.

/// The wanted or actual content of the maps, and the way from one to the other.
pub mod tables;
/// What a service port has in them.
mod entry;
/// Numbers and slots that are free.
pub mod ids;
mod ranges;
/// A plan gets its ids, generations and slots.
mod slots;
mod draft;
/// Who holds what several claim.
mod claims;
/// A change in the making.
mod step;
/// What an address means at all.
mod addresses;
/// How much there is of everything.
mod census;
/// The owner of it all, one Service at a time.
pub mod planner;

pub use census::Policy;
pub(crate) use entry::name as port_name;
pub use planner::Planner;
pub use tables::{Edit, Tables};

#[cfg(test)]
mod tests;
