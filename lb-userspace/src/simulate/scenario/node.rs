//! The node of a scenario, and what follows from what is said of it.

use super::Class;
use crate::compile::node::node_port_addrs;
use ipnet::IpNet;
use lb_common::wire::Addr;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// The node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Node {
    pub(in crate::simulate) name: String,
    /// All addresses but loopback.
    pub(in crate::simulate) ips: Vec<IpAddr>,
    /// One per family; absent: the first of each family.
    #[serde(default, rename = "primaryIPs")]
    pub(in crate::simulate) primary_ips: Vec<IpAddr>,
    #[serde(default, rename = "clusterCIDRs")]
    pub(in crate::simulate) cluster_cidrs: Vec<IpNet>,
    /// Where `ClusterIPs` come from: nobody has to know.
    #[serde(default, rename = "serviceCIDRs")]
    _service_cidrs: Vec<IpNet>,
    zone: Option<String>,
    #[serde(default)]
    pub(in crate::simulate) labels: BTreeMap<String, String>,
    #[serde(default)]
    local_detect: LocalDetect,
    #[serde(default)]
    pub(in crate::simulate) masquerade_all: bool,
    #[serde(default)]
    pub(in crate::simulate) localhost_node_ports: bool,
    #[serde(default, rename = "nodePortAddresses")]
    port_ranges: Vec<NodePortRange>,
    #[serde(default)]
    interfaces: Vec<Interface>,
}

/// How pods are told from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum LocalDetect {
    /// By their addresses.
    #[default]
    #[serde(rename = "ClusterCIDR")]
    ClusterCidr,
    /// Not at all.
    #[serde(rename = "none")]
    Nobody,
}

/// Node addresses that serve node ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum NodePortRange {
    /// The primary addresses.
    Primary,
    /// Addresses in here.
    Within(IpNet),
}

impl TryFrom<String> for NodePortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "primary" {
            return Ok(Self::Primary);
        }
        let range = text.parse().map(Self::Within);
        range.map_err(|_| format!("{text:?} is no range such as 192.0.2.0/24, and not \"primary\""))
    }
}

/// A link of the node with one of its addresses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    #[serde(rename = "name")]
    _name: String,
    address: IpNet,
}

impl Node {
    /// With what may be left out.
    pub(in crate::simulate) fn completed(mut self) -> Self {
        if self.primary_ips.is_empty() {
            let first = |v4| self.ips.iter().find(|ip| ip.is_ipv4() == v4).copied();
            self.primary_ips = [first(true), first(false)].into_iter().flatten().collect();
        }
        let missing = self.primary_ips.iter().filter(|ip| !self.ips.contains(ip));
        self.ips.extend(missing.copied().collect::<Vec<_>>());
        if let Some(zone) = &self.zone {
            self.labels.entry("topology.kubernetes.io/zone".to_owned()).or_insert(zone.clone());
        }
        self
    }

    /// Whether pods can be told from others.
    pub(in crate::simulate) fn tells_pods(&self) -> bool {
        self.local_detect == LocalDetect::ClusterCidr && !self.cluster_cidrs.is_empty()
    }

    /// Whether `ip` is told to be a pod's.
    pub(in crate::simulate) fn takes_for_pod(&self, ip: &IpAddr) -> bool {
        self.tells_pods() && self.is_in_cluster(ip)
    }

    /// Where a client with this address is.
    pub(in crate::simulate) fn class(&self, ip: &IpAddr) -> Class {
        if ip.is_loopback() {
            Class::Localhost
        } else if self.ips.contains(ip) {
            Class::Node
        } else if self.is_in_cluster(ip) {
            Class::Pod
        } else {
            Class::External
        }
    }

    fn is_in_cluster(&self, ip: &IpAddr) -> bool {
        self.cluster_cidrs.iter().any(|range| range.contains(ip))
    }

    /// `nodePortAddresses` as ranges.
    pub(in crate::simulate) fn port_ranges(&self) -> Vec<IpNet> {
        let ranges = self.port_ranges.iter().flat_map(|range| match range {
            NodePortRange::Primary => self.primary_ips.iter().copied().map(IpNet::from).collect(),
            NodePortRange::Within(range) => vec![*range],
        });
        ranges.collect()
    }

    /// Addresses that serve node ports.
    pub(in crate::simulate) fn port_addrs(&self) -> BTreeSet<Addr> {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let addrs = self.ips.iter().copied().chain(self.interface_addrs());
        let addrs = addrs.filter(|ip| !ip.is_loopback());
        let addrs = addrs.chain(self.localhost_node_ports.then_some(localhost));
        node_port_addrs(addrs, &self.port_ranges())
    }

    /// Addresses of `interfaces`, loopback among them.
    pub(in crate::simulate) fn interface_addrs(&self) -> impl Iterator<Item = IpAddr> {
        self.interfaces.iter().map(|interface| interface.address.addr())
    }
}
