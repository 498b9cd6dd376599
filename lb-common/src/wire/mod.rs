//! Packet headers, one file per protocol.
//!
//! A header is a struct of byte arrays that can be laid over packet memory; its getters are the
//! only place that knows offsets and byte order. Its alignment is 2: frames begin at even
//! addresses (drivers and the kernel align buffers to more than that), and every header in front
//! has an even length. With an alignment of 1 the compiler would load every byte by itself. What a *valid* header is gets
//! decided by the reader (`lb-ebpf/src/parse.rs`), not here.

/// Addresses, ports and protocol numbers.
pub mod addr;
/// Ethernet II (IEEE 802.3, clause 3).
pub mod eth;
/// VLAN tags (IEEE 802.1Q clause 9).
pub mod vlan;
/// IPv4 (RFC 791).
pub mod ipv4;
/// IPv6 (RFC 8200).
pub mod ipv6;
/// TCP (RFC 9293).
pub mod tcp;
/// UDP (RFC 768).
pub mod udp;
/// SCTP (RFC 9260).
pub mod sctp;
/// ICMP (RFC 792) and `ICMPv6` (RFC 4443).
pub mod icmp;

pub use addr::{Addr, IpProto, Port, Ports};
