//! Values that are words.

use crate::bpf::attach::TcMode;
use crate::compile::node::SnatMode;
use crate::link::role::XdpMode;
use clap::ValueEnum;
use ipnet::IpNet;
use std::str::FromStr;

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// For programs: a line of JSON
    Json,
}

/// An entry of `--nodeport-addresses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePortAddress {
    /// The addresses in a range.
    Range(IpNet),
    /// The node's primary addresses.
    Primary,
}

impl FromStr for NodePortAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "primary" {
            return Ok(Self::Primary);
        }
        let range = text.parse().map(Self::Range);
        range.map_err(|_| "expected a range such as 192.0.2.0/24, or primary".to_owned())
    }
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
