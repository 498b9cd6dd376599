//! The agent and its command line, in the order in which an object becomes a packet.
//!
//! A module may use the ones above it, never the ones below; `cargo xtask tidy` checks it. Only
//! `agent` and `cli` join stages.

/// What the agent knows: plain values.
pub mod model;
/// Objects to model, from an API server or manifests.
pub mod source;
/// What containers are told of Services.
pub mod environment;
/// Links and addresses of the node.
pub mod link;
/// Model to plan: what every Service means on this node. Pure.
pub mod compile;
/// Plans to tables, tables to edits. Pure.
pub mod reconcile;
/// Tables into the kernel, programs onto links.
pub mod bpf;
/// Packets and processes to ask the programs with.
mod probe;
/// UDP sockets of the node that stay with an endpoint that is gone.
pub mod sockets;
/// Connections that another proxy translates.
pub mod foreign;
/// What kube-proxy has programmed, beside what we would.
pub mod shadow;
/// Sockets that answer over HTTP.
pub mod http;
/// Answers to load balancers that ask whether this node has endpoints.
pub mod health;
/// Numbers for Prometheus.
pub mod metrics;
/// The cluster's names, and others by way of upstreams.
pub mod dns;
/// What the API server is told of Services.
pub mod status;
/// What the operator asked.
pub mod config;
/// Scenarios through the real programs, in private maps.
pub mod simulate;
/// The one loop that joins the stages.
pub mod agent;
/// What people type to look at a node.
pub mod cli;
