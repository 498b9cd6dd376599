//! What lies in each BPF map, one file per map: key, value, name, capacity, who writes it, who
//! reads it, and how long an entry lives.
//!
//! All values are plain bytes (`bytemuck::Pod`: no padding, no pointer, no `bool`). Numbers are in
//! the machine's byte order, addresses and ports in network order ([`crate::wire::addr`]).

/// How existing flows are translated.
pub mod conntrack;
/// What addresses and ports mean something.
pub mod frontend;
/// Where the packets of a service go.
pub mod backend;
/// Which backend a client had last.
pub mod affinity;
/// What a host process asked for before its address was replaced.
pub mod socket;
/// What the node is: its addresses, its links, the cluster's pods, its clock.
pub mod node;
/// Names of service ports, for people.
pub mod service;
/// Packets, bytes and connections.
pub mod counter;

/// The version of all layouts together. It names the folder in which maps are pinned; a test
/// compares `layout.lock` and fails when a layout changed and this number did not.
pub const VERSION: u32 = 1;

/// Names of the maps: those of the programs' symbols and of the pinned files. At most 15 bytes
/// (`BPF_OBJ_NAME_LEN` in `include/uapi/linux/bpf.h` counts the final zero).
pub mod name {
    /// [`super::conntrack`].
    pub const CONNTRACK: &str = "CONNTRACK";
    /// [`super::frontend`].
    pub const FRONTENDS: &str = "FRONTENDS";
    /// Backend ids, grouped into ranges: see [`super::frontend::Choice`].
    pub const SLOTS: &str = "SLOTS";
    /// [`super::backend`].
    pub const BACKENDS: &str = "BACKENDS";
    /// [`super::affinity`].
    pub const AFFINITY: &str = "AFFINITY";
    /// [`super::socket`].
    pub const SOCKETS: &str = "SOCKETS";
    /// [`super::node::LinkValue`] by link index.
    pub const LINKS: &str = "LINKS";
    /// The node's own addresses.
    pub const NODE_ADDRS: &str = "NODE_ADDRS";
    /// [`super::node::CidrKey`]: where pods live.
    pub const CLUSTER_CIDRS: &str = "CLUSTER_CIDRS";
    /// [`super::node::Clock`], one entry.
    pub const CLOCK: &str = "CLOCK";
    /// [`super::service`].
    pub const SERVICES: &str = "SERVICES";
    /// [`super::counter::Traffic`] by service id.
    pub const SERVICE_STATS: &str = "SERVICE_STATS";
    /// [`super::counter::Traffic`] by backend id.
    pub const BACKEND_STATS: &str = "BACKEND_STATS";
    /// Packets by [`crate::verdict::Reason`].
    pub const REASONS: &str = "REASONS";

    /// Every map that is pinned, in the order of the packet's path.
    pub const ALL: [&str; 14] = [
        CONNTRACK,
        FRONTENDS,
        SLOTS,
        BACKENDS,
        AFFINITY,
        SOCKETS,
        LINKS,
        NODE_ADDRS,
        CLUSTER_CIDRS,
        CLOCK,
        SERVICES,
        SERVICE_STATS,
        BACKEND_STATS,
        REASONS,
    ];
}

/// How many entries each map holds unless the operator says otherwise.
pub mod capacity {
    /// Halves of flows.
    pub const CONNTRACK: u32 = 524_288;
    /// Addresses and ports of services.
    pub const FRONTENDS: u32 = 131_072;
    /// Backend ids in all ranges together.
    pub const SLOTS: u32 = 1_048_576;
    /// Backends of all service ports.
    pub const BACKENDS: u32 = 131_072;
    /// Clients with an affinity.
    pub const AFFINITY: u32 = 131_072;
    /// Entries of sockets.
    pub const SOCKETS: u32 = 131_072;
    /// Network links.
    pub const LINKS: u32 = 4_096;
    /// Addresses of the node.
    pub const NODE_ADDRS: u32 = 1_024;
    /// Ranges of pod addresses.
    pub const CLUSTER_CIDRS: u32 = 256;
    /// Service ports.
    pub const SERVICES: u32 = 32_768;
}
