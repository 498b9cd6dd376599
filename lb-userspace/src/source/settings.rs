//! What the operator decided about a folder of manifests, as plain data.

use ipnet::IpNet;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Where manifests are, and what may be given to the Services in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The folder (`--manifests`). It may be missing for a while.
    pub dir: PathBuf,
    /// Name of the node that the agent runs on (`--node`).
    pub node: String,
    /// Where `ClusterIP`s are taken from (`--service-cidr`); the first one's family is the default.
    pub service_cidrs: Vec<IpNet>,
    /// Where node ports are taken from.
    pub node_port_range: RangeInclusive<u16>,
    /// Where `allocations.json` is kept.
    pub state_dir: PathBuf,
    /// Whether commands in the folder may run, as the agent's user (`--exec-probes`).
    pub exec_probes: bool,
}

impl Settings {
    /// The API server's default of `--service-node-port-range`.
    pub const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
}
