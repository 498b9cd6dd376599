//! The agent and its command line, in the order in which an object becomes a packet.

/// What the agent knows: plain values.
pub mod model;
/// Objects to model, from manifests.
pub mod source;
/// Tables into the kernel.
pub mod bpf;
