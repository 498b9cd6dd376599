//! Packets through the real programs, by `BPF_PROG_TEST_RUN`: which packet, with which tables,
//! becomes which packet.
//!
//! A scene is a sentence. It is played for XDP and TC ingress, IPv4 and IPv6, TCP and UDP, unless
//! its sentence is about one of them. Packets are built by etherparse, and what comes out is read
//! by etherparse: it has to be the very bytes that etherparse would build, checksums included, so
//! whatever should not change is compared without being named.
//!
//! Needs root; leaves nothing behind. Every test is in a network namespace of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

/// The programs that take frames.
mod hook;
/// IP headers of either family.
mod ip;
/// Transport headers.
mod transport;
/// Packets as values.
mod frame;
/// What else a frame can be.
mod shape;
/// Who is where: hook, family, protocol, and everybody's address.
mod case;
/// The far ends of links on which the programs run.
mod wire;
/// Loaded programs: packets in, verdicts and packets out.
mod rig;
/// The tables in front of them.
mod tables;
/// Links, addresses and neighbours for scenes in which packets are routed.
mod network;

/// Every program loads, and none grew.
mod budget;
/// Packets that are not ours, or contradict themselves.
mod malformed;
/// What an address and port mean, and to whom.
mod lookup;
/// New flows, known flows, answers.
mod translate;
/// Checksums of the special kind.
mod checksum;
/// Backends of a client that comes back.
mod affinity;
/// Flows that age, end, or lose an entry.
mod conntrack;
/// Flows that must not be mistaken for one another.
mod ports;
/// Flows whose source is replaced.
mod snat;
/// Clients that are their own backend.
mod hairpin;
/// What a client without a backend is told.
mod refuse;
/// Who is chosen.
mod spread;
/// What is counted.
mod counters;
/// Associations of SCTP.
mod sctp;
/// IPv6 extension headers.
mod extensions;
/// Frames with VLAN tags.
mod vlan;
/// Datagrams in fragments.
mod fragments;
/// What becomes of frames on links.
mod wired;
/// Work that is left to devices.
mod offload;
/// ICMP errors about translated packets.
mod icmp;
/// What a client is told whose packet cannot go on.
mod told;
/// Echo requests to virtual addresses.
mod ping;
/// Who may use a guarded frontend.
mod ranges;
/// Ports of a virtual address that no Service has.
mod closed;
/// The agent of this node as a backend.
mod agent;
/// Flows that another proxy translates.
mod foreign;
