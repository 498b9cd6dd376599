//! What the operator asked, from the command line: arguments become plain values at once.

use crate::bpf::attach::TcMode;
use crate::compile::node::SnatMode;
use crate::link::role::XdpMode;
use clap::{Args, ValueEnum};
use globset::{Glob, GlobSet, GlobSetBuilder};
use ipnet::IpNet;
use std::path::PathBuf;

/// Where an agent keeps its things: given to every verb.
#[derive(Args, Clone, Debug)]
pub struct Places {
    /// Folder on a BPF file system under which maps and links are pinned
    #[arg(long, env = "LB_BPFFS", default_value = "/sys/fs/bpf/lb", value_name = "DIR")]
    pub bpffs: PathBuf,
    /// Folder for what has to outlive the agent: addresses and node ports that it gave, its status
    #[arg(long, env = "LB_STATE_DIR", default_value = "/var/lib/lb", value_name = "DIR")]
    pub state_dir: PathBuf,
}

/// Arguments of `lb-agent run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// Folder of manifests: Services, Endpoints, `EndpointSlices`, Pods, Nodes; followed live
    #[arg(long, value_name = "DIR")]
    pub manifests: PathBuf,
    /// Name of this node, as `nodeName` of endpoints has it [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node: Option<String>,
    /// Where the cluster's pods live; clients from elsewhere are outsiders
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..")]
    pub cluster_cidr: Vec<IpNet>,
    /// Where `ClusterIPs` are given from, one range per family
    #[arg(long, value_delimiter = ',', default_value = "10.96.0.0/16", value_name = "CIDR,..")]
    pub service_cidr: Vec<IpNet>,
    /// Node addresses that serve node ports; none of a family: all of it
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..")]
    pub nodeport_addresses: Vec<IpNet>,
    /// Names of uplinks, as patterns [default: found by routes and addresses]
    #[arg(long, value_delimiter = ',', value_name = "GLOB,..")]
    pub devices: Vec<Glob>,
    /// Cgroup (version 2) whose processes are served by the socket programs [default: the root]
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
    /// Whose sockets are translated when they connect
    #[arg(long, value_enum, default_value_t)]
    pub socket_lb: SocketLb,
    /// When a client's address is replaced
    #[arg(long, value_enum, default_value_t)]
    pub snat: Snat,
    /// Answer echo requests (ping) to virtual addresses with a usable endpoint
    #[arg(long)]
    pub answer_ping: bool,
    /// Where XDP runs
    #[arg(long, value_enum, default_value_t)]
    pub xdp: Xdp,
    /// How TC programs are attached
    #[arg(long, value_enum, default_value_t)]
    pub tc: Tc,
    #[command(flatten)]
    /// Where things are kept
    pub places: Places,
}

/// Whose sockets are translated when they connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SocketLb {
    /// Processes in the node's own network namespace
    #[default]
    Host,
    /// Nobody's: processes of the node cannot reach Services
    Off,
}

/// When a client's address is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Snat {
    /// Where the way back needs it
    #[default]
    Minimal,
    /// Wherever kube-proxy masquerades
    Always,
}

impl From<Snat> for SnatMode {
    fn from(snat: Snat) -> Self {
        match snat {
            Snat::Minimal => Self::Minimal,
            Snat::Always => Self::Always,
        }
    }
}

/// Where XDP runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Xdp {
    /// On uplinks whose driver takes it and where it does no harm
    #[default]
    Auto,
    /// On all uplinks, in the generic hook where the driver refuses
    On,
    /// Nowhere
    Off,
}

impl From<Xdp> for XdpMode {
    fn from(xdp: Xdp) -> Self {
        match xdp {
            Xdp::Auto => Self::Auto,
            Xdp::On => Self::On,
            Xdp::Off => Self::Off,
        }
    }
}

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Tc {
    /// TCX where the kernel has it
    #[default]
    Auto,
    /// TCX links (Linux 6.6)
    Tcx,
    /// The clsact qdisc
    Clsact,
}

impl From<Tc> for TcMode {
    fn from(tc: Tc) -> Self {
        match tc {
            Tc::Auto => Self::of_kernel(),
            Tc::Tcx => Self::Tcx,
            Tc::Clsact => Self::Clsact,
        }
    }
}

impl RunArgs {
    /// The patterns of uplinks as one set.
    ///
    /// # Errors
    /// The patterns are too many to be compiled.
    pub fn device_set(&self) -> Result<GlobSet, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for glob in &self.devices {
            set.add(glob.clone());
        }
        set.build()
    }
}
