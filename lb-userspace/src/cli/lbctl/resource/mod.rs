//! What can be listed: one file per resource, each a pure function from map content to views.

/// Services, their ports and families merged, as kubectl lists them.
pub(super) mod services;
/// Endpoints of service ports: who may be chosen.
pub(super) mod endpoints;
/// Addresses and ports that mean a service port.
pub(super) mod frontends;
/// Cells of the backend table.
pub(super) mod backends;
/// Flows.
pub(super) mod conntrack;
/// Sockets whose peer was replaced.
pub(super) mod sockets;
/// Clients that are remembered.
pub(super) mod affinity;
/// Network links.
pub(super) mod links;
/// The agent, how full maps are, what was dropped.
pub(super) mod status;
