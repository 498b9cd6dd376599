//! What must come out.

use super::scenario::{Proto, Remark};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It goes to a backend.
    Dnat,
    /// It is left alone.
    Pass,
    /// It is discarded without a word.
    Drop,
    /// It is refused.
    Reject,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Dnat => "dnat",
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Reject => "reject",
        })
    }
}

/// What happens to the first packets of new connections.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expect {
    pub(super) verdict: Verdict,
    /// All of these, and no other.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) backends: BTreeSet<SocketAddr>,
    /// The client's address is replaced, or not; absent: whatever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snat: Option<bool>,
    /// It is for these, although it is not for the rest.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) snat_for: BTreeSet<SocketAddr>,
    /// A client comes back to its backend within so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) affinity: Option<u32>,
    #[serde(rename = "detail", skip_serializing)]
    pub(super) _detail: Remark,
    #[serde(rename = "by", skip_serializing)]
    pub(super) _by: Remark,
}

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keep {
    /// Its next packet goes where the last one went.
    Keep,
    /// It does not.
    Delete,
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        })
    }
}

/// What happens to one connection of a sequence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Pick {
    pub(super) verdict: Verdict,
    /// One of these; empty: anyone.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) backends: BTreeSet<SocketAddr>,
    /// Nothing binds the choice: said for the reader, for one choice cannot show it.
    #[serde(default, rename = "anyBackend", skip_serializing)]
    pub(super) _any_backend: bool,
    /// The one that this earlier connection got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) same_backend_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) snat: Option<bool>,
    #[serde(rename = "detail", skip_serializing)]
    pub(super) _detail: Remark,
}

/// What the health check server answers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// JSON, or a text that is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
    /// Those that must be there; others may be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
}

/// What the agent knows and wants after a step.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Expectations {
    /// By Service.
    #[serde(default, rename = "expectHealth")]
    pub(super) health: BTreeMap<String, Health>,
    /// By Service; those that are not named have none.
    #[serde(rename = "expectLocalReadyEndpoints")]
    pub(super) local_ready: Option<BTreeMap<String, usize>>,
    #[serde(rename = "expectEndpoints")]
    pub(super) endpoints: Option<EndpointSets>,
    /// By service port, as `ns/svc:port/PROTO`.
    #[serde(rename = "expectEndpointsMap")]
    pub(super) endpoints_map: Option<BTreeMap<String, BTreeSet<KnownEndpoint>>>,
    /// The Service that the map is about; absent: all.
    #[serde(rename = "expectEndpointsMapScope")]
    pub(super) endpoints_map_scope: Option<String>,
    #[serde(rename = "expectFrontends")]
    pub(super) frontends: Option<Frontends>,
    #[serde(rename = "expectClusterIPs")]
    pub(super) cluster_ips: Option<PerFamily<Option<IpAddr>>>,
    #[serde(rename = "expectNodePortAddresses")]
    pub(super) node_port_addresses: Option<PerFamily<Option<NodePortAddresses>>>,
    #[serde(rename = "expectChanged")]
    pub(super) changed: Option<bool>,
    #[serde(rename = "expectConntrackCleanup")]
    pub(super) conntrack_cleanup: Option<bool>,
}

impl Expectations {
    /// How the names of its fields begin.
    pub(super) const PREFIX: &str = "expect";
}

/// One value per address family.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PerFamily<T> {
    #[serde(rename = "IPv4")]
    pub(super) v4: T,
    #[serde(rename = "IPv6")]
    pub(super) v6: T,
}

/// What the health check server says of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Health {
    pub(super) port: u16,
    pub(super) local_ready_endpoints: usize,
    pub(super) http_status: u16,
}

/// Whom new connections may choose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EndpointSets {
    /// `ns/svc:port/PROTO`.
    pub(super) service: String,
    /// Where no Local policy applies; null: it does everywhere.
    pub(super) cluster: Option<BTreeSet<SocketAddr>>,
    /// Where one applies; null: nowhere.
    pub(super) local: Option<BTreeSet<SocketAddr>>,
    /// Anybody usable on any node.
    pub(super) any_endpoints_in_cluster: bool,
}

/// An endpoint, usable or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct KnownEndpoint {
    pub(super) endpoint: SocketAddr,
    pub(super) is_local: bool,
    pub(super) ready: bool,
    pub(super) serving: bool,
    pub(super) terminating: bool,
}

/// All addresses and ports of one family that mean a Service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Frontends {
    pub(super) family: FamilyName,
    pub(super) frontends: Vec<Frontend>,
    pub(super) health_check_node_port: Option<u16>,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum FamilyName {
    /// 4.
    IPv4,
    /// 6.
    IPv6,
}

/// An address and port that mean a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Frontend {
    pub(super) kind: FrontendKind,
    /// Absent for node ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    pub(super) protocol: Proto,
    pub(super) port: u16,
    #[serde(default)]
    pub(super) port_name: String,
    /// Who may use it; empty: everybody.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) source_ranges: BTreeSet<ipnet::IpNet>,
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(super) enum FrontendKind {
    ClusterIP,
    NodePort,
    ExternalIP,
    LoadBalancer,
}

/// The node's addresses that serve node ports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodePortAddresses {
    /// Whatever address the node has.
    pub(super) match_all: bool,
    pub(super) ips: BTreeSet<IpAddr>,
}
