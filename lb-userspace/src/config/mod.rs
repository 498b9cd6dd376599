//! What the operator asked, on the command line or in a file: arguments become plain values at
//! once.

/// Words.
mod choice;
/// The name server.
pub mod dns;
/// Settings from a file.
pub mod file;

use crate::compile::node::{NodePortAddresses, NodePorts};
use crate::metrics::Limits;
pub use choice::{Form, NodePortAddress, Snat, SocketLb, Tc, Xdp};
use clap::{ArgAction, Args};
use globset::{Glob, GlobSet, GlobSetBuilder};
use ipnet::{IpNet, Ipv4Net};
use std::net::{Ipv4Addr, SocketAddr};
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

/// Where load balancers ask about the node as a whole.
#[derive(Args, Clone, Debug)]
pub struct Healthz {
    /// Where `/healthz` and `/livez` say whether load balancers may send to this node; nowhere if
    /// empty
    #[arg(
        long,
        value_name = "ADDR:PORT,..",
        value_delimiter = ',',
        value_parser = bind_address,
        default_value = "0.0.0.0:10256,[::]:10256"
    )]
    pub healthz_bind_address: Vec<Option<SocketAddr>>,
}

impl Healthz {
    /// The addresses.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        written(&self.healthz_bind_address)
    }
}

/// The addresses of a list in which nothing may be written.
fn written(list: &[Option<SocketAddr>]) -> Vec<SocketAddr> {
    list.iter().flatten().copied().collect()
}

/// An address with a port; `None` if nothing is written.
fn bind_address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let addr = text.parse().map(Some);
    addr.map_err(|_| "expected an address with a port, such as 0.0.0.0:10256".to_owned())
}

/// What the agent tells over HTTP.
#[derive(Args, Clone, Debug)]
pub struct Metrics {
    /// Where `/metrics`, `/readyz`, `/livez` and `/version` are answered; nowhere if empty
    #[arg(
        long,
        value_name = "ADDR:PORT,..",
        value_delimiter = ',',
        value_parser = bind_address,
        default_value = "127.0.0.1:10249"
    )]
    pub metrics_bind_address: Vec<Option<SocketAddr>>,
    /// How many service ports have counters of their own; the others are summed
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub metrics_max_services: usize,
    /// How many endpoints have counters of their own; the others are summed, if it is not 0
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub metrics_max_backends: usize,
}

impl Metrics {
    /// The addresses.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        written(&self.metrics_bind_address)
    }

    /// How many series there may be.
    pub fn limits(&self) -> Limits {
        Limits { services: self.metrics_max_services, backends: self.metrics_max_backends }
    }
}

/// Arguments of `lb-agent health`.
#[derive(Args, Clone, Debug)]
pub struct HealthArgs {
    #[command(flatten)]
    /// Where it is asked
    pub healthz: Healthz,
    #[command(flatten)]
    /// Where things are kept
    pub places: Places,
}

/// Arguments of `lb-agent run`.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are switches, each on its own")]
pub struct RunArgs {
    /// YAML file of settings: every flag here by its name, such as `cluster-cidr: [10.244.0.0/16]`;
    /// when it changes, the agent starts anew in place
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print all settings as such a file, and end
    #[arg(long)]
    pub dump_config: bool,
    /// Folder of manifests: Services, Endpoints, `EndpointSlices`, Pods, Nodes; followed live
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig")]
    pub manifests: Option<PathBuf>,
    /// With `--manifests`, make `exec` probes too: whoever may write to the folder can then run
    /// commands as the agent's user, which is mostly root
    #[arg(long)]
    pub exec_probes: bool,
    /// Kubeconfig file of the API server to follow [default: the service account of the pod that
    /// this runs in]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of this node, as `nodeName` of endpoints has it [default: the host name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub node: Option<String>,
    /// Where the cluster's pods live; clients from elsewhere are outsiders
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..")]
    pub cluster_cidr: Vec<IpNet>,
    /// Where `ClusterIPs` lie, one range per family: Services of a folder are given theirs from
    /// here [default: 10.96.0.0/16], and the name server owns the reverse names; an API server gives
    /// its own addresses
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..")]
    pub service_cidr: Vec<IpNet>,
    /// Node addresses that serve node ports; none of a family: all of it; `primary`: the node's
    /// primary addresses
    #[arg(long, value_delimiter = ',', value_name = "CIDR,..|primary")]
    pub nodeport_addresses: Vec<NodePortAddress>,
    /// Whether 127.0.0.1 serves node ports to processes of the node
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub localhost_nodeports: bool,
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
    /// With `--snat always`, masquerade pods that ask a `ClusterIP` too
    #[arg(long)]
    pub masquerade_all: bool,
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
    /// Where load balancers ask
    pub healthz: Healthz,
    #[command(flatten)]
    /// Where monitoring asks
    pub metrics: Metrics,
    #[command(flatten)]
    /// What is asked for names
    pub dns: dns::Dns,
    #[command(flatten)]
    /// Where things are kept
    pub places: Places,
    #[command(flatten)]
    /// Whether it is only compared
    pub shadow: ShadowArgs,
}

/// What is compared instead of being done.
#[derive(Args, Clone, Debug, Default)]
pub struct ShadowArgs {
    /// Touch nothing: compare with what kube-proxy has programmed here, and print the differences
    #[arg(long)]
    pub shadow: bool,
    /// With `--shadow`, compare once; exit code 1 if something differs
    #[arg(long, requires = "shadow")]
    pub once: bool,
    /// With `--shadow`, the form of what is printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
}

impl RunArgs {
    /// Whether the arguments make sense together.
    ///
    /// # Errors
    /// One would have no effect because of another.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.masquerade_all || self.snat == Snat::Always,
            "--masquerade-all needs --snat always: otherwise an address is replaced only where \
             the way back needs it"
        );
        self.dns.check()?;
        self.node_ports().map(drop)
    }

    /// Which addresses of the node serve node ports.
    ///
    /// # Errors
    /// `primary` stands beside ranges: each would mean something else.
    pub fn node_ports(&self) -> anyhow::Result<NodePorts> {
        let range = |entry: &NodePortAddress| match entry {
            NodePortAddress::Range(range) => Some(*range),
            NodePortAddress::Primary => None,
        };
        let ranges: Option<Vec<IpNet>> = self.nodeport_addresses.iter().map(range).collect();
        let within = match (ranges, self.nodeport_addresses.as_slice()) {
            (Some(ranges), _) => NodePortAddresses::Ranges(ranges),
            (None, [NodePortAddress::Primary]) => NodePortAddresses::Primary,
            (None, _) => {
                anyhow::bail!("--nodeport-addresses: primary stands alone, without other entries")
            }
        };
        Ok(NodePorts { within, localhost: self.localhost_nodeports })
    }

    /// Where `ClusterIPs` lie, as far as it is known: an API server has ranges of its own.
    pub fn service_cidrs(&self) -> Vec<IpNet> {
        let is_ours = self.service_cidr.is_empty() && self.manifests.is_some();
        let usual = is_ours.then(|| Ipv4Net::new_assert(Ipv4Addr::new(10, 96, 0, 0), 16).into());
        self.service_cidr.iter().copied().chain(usual).collect()
    }

    /// What the name server is to do; `None`: there is none.
    pub fn dns_settings(&self) -> Option<crate::dns::Settings> {
        self.dns.settings(&self.cluster_cidr, &self.service_cidrs())
    }

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

#[cfg(test)]
#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
}

#[cfg(test)]
impl RunArgs {
    /// The arguments that these flags mean.
    pub(crate) fn of(flags: &[&str]) -> Self {
        use clap::Parser as _;
        Cli::parse_from([&["lb-agent"], flags].concat()).run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    /// What the arguments mean, or what is wrong with them.
    fn node_ports(arguments: &[&str]) -> Result<NodePorts, String> {
        let given = ["lb-agent", "--manifests", "x"].iter().chain(arguments);
        let cli = Cli::try_parse_from(given).map_err(|error| error.to_string())?;
        cli.run.check().map_err(|error| error.to_string())?;
        cli.run.node_ports().map_err(|error| error.to_string())
    }

    #[test]
    fn node_ports_are_served_at_all_addresses_and_localhost_unless_said_otherwise() {
        let ranges = |ranges: &[&str]| {
            NodePortAddresses::Ranges(ranges.iter().map(|range| range.parse().unwrap()).collect())
        };
        let cases = [
            (&[][..], ranges(&[]), true),
            (&["--localhost-nodeports", "false"], ranges(&[]), false),
            (&["--localhost-nodeports=true"], ranges(&[]), true),
            (
                &["--nodeport-addresses", "192.0.2.0/24,2001:db8::/64"],
                ranges(&["192.0.2.0/24", "2001:db8::/64"]),
                true,
            ),
            (&["--nodeport-addresses", "primary"], NodePortAddresses::Primary, true),
        ];
        for (arguments, within, localhost) in cases {
            assert_eq!(node_ports(arguments), Ok(NodePorts { within, localhost }), "{arguments:?}");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused_with_a_reason() {
        let cases = [
            (&["--nodeport-addresses", "primary,192.0.2.0/24"][..], "primary stands alone"),
            (&["--nodeport-addresses", "primary,primary"], "primary stands alone"),
            (
                &["--nodeport-addresses", "Primary"],
                "expected a range such as 192.0.2.0/24, or primary",
            ),
            (&["--localhost-nodeports", "maybe"], "invalid value 'maybe'"),
            (&["--masquerade-all"], "--masquerade-all needs --snat always"),
        ];
        for (arguments, expect) in cases {
            let said = node_ports(arguments).unwrap_err();
            assert!(said.contains(expect), "{said}");
        }
        assert!(node_ports(&["--masquerade-all", "--snat", "always"]).is_ok());
    }
}
