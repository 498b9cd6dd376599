//! What is needed to ask loaded programs what they would do: packets as bytes, and a place for
//! processes whose system calls they see.
//!
//! Nothing here is sent anywhere; who asks hands the bytes over (`bpf::private`).

/// Packets as bytes.
pub(crate) mod frame;
/// A control group of one's own.
pub(crate) mod cgroup;
