//! What the agent must know and want after a step.

use crate::model::Protocol;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What the agent knows and wants after a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Expectations {
    /// By Service.
    #[serde(default, rename = "expectHealth")]
    pub(in crate::simulate) health: BTreeMap<String, Health>,
    /// By Service; those that are not named have none.
    #[serde(rename = "expectLocalReadyEndpoints")]
    pub(in crate::simulate) local_ready: Option<BTreeMap<String, usize>>,
    #[serde(rename = "expectEndpoints")]
    pub(in crate::simulate) endpoints: Option<EndpointSets>,
    /// By service port, as `ns/svc:port/PROTO`.
    #[serde(rename = "expectEndpointsMap")]
    pub(in crate::simulate) endpoints_map: Option<BTreeMap<String, BTreeSet<KnownEndpoint>>>,
    /// The Service that the map is about; absent: all.
    #[serde(rename = "expectEndpointsMapScope")]
    pub(in crate::simulate) endpoints_map_scope: Option<String>,
    #[serde(rename = "expectFrontends")]
    pub(in crate::simulate) frontends: Option<Frontends>,
    #[serde(rename = "expectClusterIPs")]
    pub(in crate::simulate) cluster_ips: Option<PerFamily<Option<IpAddr>>>,
    #[serde(rename = "expectNodePortAddresses")]
    pub(in crate::simulate) node_port_addresses: Option<PerFamily<Option<NodePortAddresses>>>,
    #[serde(rename = "expectChanged")]
    pub(in crate::simulate) changed: Option<bool>,
    #[serde(rename = "expectConntrackCleanup")]
    pub(in crate::simulate) conntrack_cleanup: Option<bool>,
}

impl Expectations {
    /// How the names of its fields begin.
    pub(in crate::simulate) const PREFIX: &str = "expect";
}

/// One value per address family.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulate) struct PerFamily<T> {
    #[serde(rename = "IPv4")]
    pub(in crate::simulate) v4: T,
    #[serde(rename = "IPv6")]
    pub(in crate::simulate) v6: T,
}

/// What the health check server says of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Health {
    pub(in crate::simulate) port: u16,
    pub(in crate::simulate) local_ready_endpoints: usize,
    pub(in crate::simulate) http_status: u16,
}

/// Whom new connections may choose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct EndpointSets {
    /// `ns/svc:port/PROTO`.
    pub(in crate::simulate) service: String,
    /// Where no Local policy applies; null: it does everywhere.
    pub(in crate::simulate) cluster: Option<BTreeSet<SocketAddr>>,
    /// Where one applies; null: nowhere.
    pub(in crate::simulate) local: Option<BTreeSet<SocketAddr>>,
    /// Anybody usable on any node.
    pub(in crate::simulate) any_endpoints_in_cluster: bool,
}

/// An endpoint, usable or not.
#[expect(clippy::struct_excessive_bools, reason = "conditions of Kubernetes, each by itself")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct KnownEndpoint {
    pub(in crate::simulate) endpoint: SocketAddr,
    pub(in crate::simulate) is_local: bool,
    pub(in crate::simulate) ready: bool,
    pub(in crate::simulate) serving: bool,
    pub(in crate::simulate) terminating: bool,
}

/// All addresses and ports of one family that mean a Service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Frontends {
    pub(in crate::simulate) family: FamilyName,
    #[serde(rename = "frontends")]
    pub(in crate::simulate) all: Vec<Frontend>,
    pub(in crate::simulate) health_check_node_port: Option<u16>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::simulate) enum FamilyName {
    /// 4.
    IPv4,
    /// 6.
    IPv6,
}

/// An address and port that mean a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct Frontend {
    pub(in crate::simulate) kind: FrontendKind,
    /// Absent for node ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::simulate) ip: Option<IpAddr>,
    pub(in crate::simulate) protocol: Protocol,
    pub(in crate::simulate) port: u16,
    #[serde(default)]
    pub(in crate::simulate) port_name: String,
    /// Who may use it; empty: everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(in crate::simulate) source_ranges: BTreeSet<IpNet>,
}

impl Frontend {
    /// The same with ranges whose host bits are cleared, as the model has them.
    pub(in crate::simulate) fn truncated(&self) -> Self {
        let source_ranges = self.source_ranges.iter().map(IpNet::trunc).collect();
        Self { source_ranges, ..self.clone() }
    }
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(in crate::simulate) enum FrontendKind {
    ClusterIP,
    NodePort,
    ExternalIP,
    LoadBalancer,
}

/// The node's addresses that serve node ports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::simulate) struct NodePortAddresses {
    /// Whatever address the node has.
    pub(in crate::simulate) match_all: bool,
    pub(in crate::simulate) ips: BTreeSet<IpAddr>,
}
