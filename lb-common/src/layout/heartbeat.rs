//! `HEARTBEATS`: array of two, [`V4`] and [`V6`], to nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Written by the agent each time its name server has answered a question at its own address of the
//! family; read for new flows to it, its datagrams and its SYNs. An agent that ended has no socket
//! any more, which programs see at once; this tells them of one that hangs. 0: it never answered.

/// Where the beat of the IPv4 address is.
pub const V4: u32 = 0;
/// Where the beat of the IPv6 address is.
pub const V6: u32 = 1;
/// How many there are.
pub const COUNT: u32 = 2;
/// How long a beat holds, in nanoseconds.
pub const PATIENCE_NS: u64 = 3_000_000_000;
