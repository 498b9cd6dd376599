//! The real agent on a node made of namespaces, with real clients: what an operator would see.
//!
//! Each test makes a lab of its own and makes all its claims about one subject there, because a
//! lab costs more than a claim. Needs root and the programs that `cargo build` makes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

/// Waiting for what must come true.
mod patience;
/// An agent on a node, and the manifests that it reads.
mod deployment;
/// The kubia network with an agent.
mod stage;
/// Pods on links of their own, without a bridge.
mod routed;
/// What is expected of reports.
mod expect;
/// Routers in a row, with the node in the middle.
mod chain;
/// Sockets that hear of ICMP errors.
mod probe;
/// Fragments in any order.
mod raw;
/// Pages of HTTP servers.
mod web;

/// Every pod gets its share.
mod spread;
/// Every byte arrives.
mod bulk;
/// Paths are as wide as their narrowest link.
mod pmtu;
/// Routers are heard.
mod traceroute;
/// Answers and errors leave where the client came from.
mod uplinks;
/// Every fragment arrives.
mod fragments;
/// SCTP, without the kernel's.
mod sctp;
/// Whether a virtual address answers ping.
mod ping;
/// Nobody notices that the agent goes.
mod disruption;
/// Another proxy was here before.
mod takeover;
/// Pods and Services come and go.
mod changes;
/// The pod behind one socket is replaced.
mod dns_like;
/// Ports that no Service has.
mod closed_ports;
/// Whose address a server sees.
mod addresses;
/// Whose port a server sees.
mod ports;
/// A load balancer that asks.
mod health;
/// What monitoring sees.
mod metrics;
/// Processes of the node.
mod sockets;
/// Clients that come back.
mod affinity;
/// Who may ask load-balancer addresses.
mod source_ranges;
/// Links come and go.
mod links;
/// The clsact qdisc.
mod clsact;
/// XDP on an uplink.
mod xdp;
/// How the agent speaks when it cannot start.
mod refusal;
/// What the agent does with manifests that are wrong.
mod manifests;
/// What names lead to.
mod names;
/// The cluster's DNS, answered on the node.
mod node_local;
/// Settings that change.
mod settings;
/// What `lb-agent cleanup` leaves.
mod cleanup;
/// What `lbctl trace` tells.
mod trace;
/// What `lbctl explain` tells.
mod explain;
/// `xtask demo`.
mod demo;
