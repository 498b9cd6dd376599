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
/// What an address means at all.
pub mod address;
/// Who may use a guarded frontend.
pub mod source_range;
/// Datagrams in fragments.
pub mod fragment;
/// What a host process asked for before its address was replaced.
pub mod socket;
/// What the node is: its links, the cluster's pods, its clock.
pub mod node;
/// Names of service ports, for people.
pub mod service;
/// What a watched program found out about a packet.
pub mod step;
/// Packets, bytes and connections.
pub mod counter;
/// Whether the agent's name server answers.
pub mod heartbeat;

/// The version of all layouts together. It names the folder in which maps are pinned; a test
/// compares `layout.lock` and fails when a layout changed and this number did not.
pub const VERSION: u32 = 2;

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
    /// [`super::address`].
    pub const ADDRESSES: &str = "ADDRESSES";
    /// [`super::source_range`].
    pub const SOURCE_RANGES: &str = "SOURCE_RANGES";
    /// [`super::affinity::SiblingKey`] to a backend id.
    pub const SIBLINGS: &str = "SIBLINGS";
    /// [`super::fragment::FragmentKey`] to what became of the first fragment.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// [`super::fragment::HeldKey`] to the frame of a fragment.
    pub const HELD: &str = "HELD";
    /// [`super::node::CidrKey`]: where pods live.
    pub const CLUSTER_CIDRS: &str = "CLUSTER_CIDRS";
    /// [`super::node::Clock`], one entry.
    pub const CLOCK: &str = "CLOCK";
    /// [`super::heartbeat`].
    pub const HEARTBEATS: &str = "HEARTBEATS";
    /// [`super::service`].
    pub const SERVICES: &str = "SERVICES";
    /// [`super::counter::Traffic`] by service id.
    pub const SERVICE_STATS: &str = "SERVICE_STATS";
    /// [`super::counter::Traffic`] by backend id.
    pub const BACKEND_STATS: &str = "BACKEND_STATS";
    /// Packets by [`crate::verdict::Reason`].
    pub const REASONS: &str = "REASONS";
    /// [`super::step`]; never pinned.
    pub const STEPS: &str = "STEPS";
    /// TC programs that go on with a packet, by `Stage` in `lb-ebpf/src/stage.rs`. Each load has
    /// its own: programs hand packets over to programs of the same load only.
    pub const STAGES: &str = "STAGES";
    /// The same of XDP: the kernel lets no array hold programs of both kinds.
    pub const XDP_STAGES: &str = "XDP_STAGES";

    /// Every map that one agent takes over from another, in the order of the packet's path.
    pub const ALL: [&str; 19] = [
        CONNTRACK,
        FRAGMENTS,
        HELD,
        ADDRESSES,
        FRONTENDS,
        SOURCE_RANGES,
        SLOTS,
        BACKENDS,
        AFFINITY,
        SIBLINGS,
        SOCKETS,
        LINKS,
        CLUSTER_CIDRS,
        CLOCK,
        HEARTBEATS,
        SERVICES,
        SERVICE_STATS,
        BACKEND_STATS,
        REASONS,
    ];

    /// Those that are pinned for the programs of one load.
    pub const OF_A_LOAD: [&str; 2] = [STAGES, XDP_STAGES];

    /// Those that say what packets mean: the agent writes them, programs only read.
    pub const TABLES: [&str; 10] = [
        ADDRESSES,
        FRONTENDS,
        SOURCE_RANGES,
        SLOTS,
        BACKENDS,
        SIBLINGS,
        LINKS,
        CLUSTER_CIDRS,
        HEARTBEATS,
        SERVICES,
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
    /// Addresses of the node, of Services and of their endpoints.
    pub const ADDRESSES: u32 = 262_144;
    /// Ranges of clients, in all service ports together.
    pub const SOURCE_RANGES: u32 = 65_536;
    /// Endpoints of Services with an affinity over all ports.
    pub const SIBLINGS: u32 = 131_072;
    /// Datagrams in fragments.
    pub const FRAGMENTS: u32 = 8_192;
    /// Fragments that wait; 2 KiB each.
    pub const HELD: u32 = 1_024;
    /// Ranges of pod addresses.
    pub const CLUSTER_CIDRS: u32 = 256;
    /// Service ports.
    pub const SERVICES: u32 = 32_768;
}
