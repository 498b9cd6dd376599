//! The words that both halves of `lb` share: packet headers, map layouts, and arithmetic.
//!
//! Everything here is a value or a pure function: no kernel, no input or output, no allocation.
//! It is compiled twice, for the BPF target by `lb-ebpf` and for the host by `lb-userspace`, so a
//! map entry cannot mean two things. Modules stand in the order in which a packet meets them.
#![no_std]
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "folds and hashes keep low halves; everything else is far below its type's limit"
)]

/// Bytes to meaning and back: one file per protocol.
pub mod wire;
/// Who talks to whom, and what must be changed in a packet.
pub mod flow;
/// What lies in each BPF map: one file per map.
pub mod layout;
/// Decisions that need no memory: hashes, checksums, Maglev tables, TCP states.
pub mod algo;
/// Why a packet passed, moved or died.
pub mod verdict;
