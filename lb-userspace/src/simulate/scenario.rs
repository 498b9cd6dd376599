//! A scenario: one node's view of a cluster, what happens to it, and what is sent.
//!
//! These are the words of the format (`docs/simulate.md`), nothing more: what must come out is in
//! [`expect`](super::expect). A field that is not here is an error of the file.

use super::expect::{Expect, Expectations, Pick, Keep, Reply};
use crate::model::Protocol;
use crate::source::Delivered;
use ipnet::IpNet;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A remark for the reader of the file.
pub(super) type Remark = Option<IgnoredAny>;

/// A whole scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub id: String,
    /// What it is about.
    pub title: String,
    pub(super) node: Node,
    /// The first one is the start, with all objects.
    pub(super) steps: Vec<Step>,
}

/// What stands at the top of a file only.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Head {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    #[serde(rename = "kind")]
    pub(super) _kind: Option<Kind>,
    pub(super) node: Node,
    #[serde(default)]
    pub(super) objects: Vec<Value>,
    /// Further steps, each a [`Step`] with its [`Expectations`].
    #[serde(default)]
    pub(super) then: Vec<Map<String, Value>>,
    #[serde(rename = "facts")]
    pub(super) _facts: Remark,
    #[serde(rename = "areas")]
    pub(super) _areas: Remark,
    #[serde(rename = "source")]
    pub(super) _source: Remark,
    #[serde(rename = "upstream")]
    pub(super) _upstream: Remark,
    #[serde(rename = "notes")]
    pub(super) _notes: Remark,
    #[serde(rename = "adapted")]
    pub(super) _adapted: Remark,
    #[serde(rename = "notAdmissible")]
    pub(super) _not_admissible: Remark,
}

impl Head {
    /// The names of its fields.
    pub(super) const FIELDS: [&str; 13] = [
        "id",
        "title",
        "kind",
        "node",
        "objects",
        "then",
        "facts",
        "areas",
        "source",
        "upstream",
        "notes",
        "adapted",
        "notAdmissible",
    ];
}

/// What a scenario is mainly about. Everything in it is judged, whatever this says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Packets,
    Flows,
    Http,
    Sequence,
    Words,
}

/// The node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) name: String,
    /// All addresses but loopback.
    pub(super) ips: Vec<IpAddr>,
    /// One per family; absent: the first of each family.
    #[serde(default, rename = "primaryIPs")]
    pub(super) primary_ips: Vec<IpAddr>,
    #[serde(default, rename = "clusterCIDRs")]
    pub(super) cluster_cidrs: Vec<IpNet>,
    /// Where `ClusterIPs` come from: the datapath does not need to know.
    #[serde(default, rename = "serviceCIDRs")]
    pub(super) _service_cidrs: Vec<IpNet>,
    pub(super) zone: Option<String>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) local_detect: LocalDetect,
    #[serde(default)]
    pub(super) masquerade_all: bool,
    #[serde(default)]
    pub(super) localhost_node_ports: bool,
    #[serde(default)]
    pub(super) node_port_addresses: Vec<NodePortRange>,
    #[serde(default)]
    pub(super) interfaces: Vec<Interface>,
}

/// How pods are told from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum LocalDetect {
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
pub(super) enum NodePortRange {
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
        let range = text.parse::<IpNet>().map(Self::Within);
        range.map_err(|_| format!("expected a range such as 192.0.2.0/24, or primary, found {text:?}"))
    }
}

/// A link of the node with one of its addresses.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    #[serde(rename = "name")]
    pub(super) _name: String,
    pub(super) address: IpNet,
}

/// Something happens, and then it is looked again.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Step {
    #[serde(rename = "label")]
    pub(super) _label: Remark,
    /// The agent was down meanwhile.
    #[serde(default)]
    pub(super) restart: bool,
    #[serde(default)]
    pub(super) events: Vec<Event>,
    /// `events`, read.
    #[serde(skip)]
    pub(super) changes: Vec<Delivered>,
    #[serde(default)]
    pub(super) packets: Vec<Packet>,
    #[serde(default)]
    pub(super) flows: Vec<Flow>,
    #[serde(default)]
    pub(super) sequence: Vec<Connection>,
    #[serde(default)]
    pub(super) http: Vec<Request>,
    #[serde(default)]
    pub(super) http_closed: Vec<u16>,
    /// The proxy's own health; absent: it is healthy.
    pub(super) proxy_healthy: Option<bool>,
    #[serde(skip)]
    pub(super) expected: Expectations,
}

impl Step {
    /// The names of its fields, but for those of [`Expectations`].
    pub(super) const FIELDS: [&str; 9] = [
        "label",
        "restart",
        "events",
        "packets",
        "flows",
        "sequence",
        "http",
        "httpClosed",
        "proxyHealthy",
    ];
}

/// What a watch delivers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) op: Op,
    pub(super) object: Value,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Op {
    Add,
    Update,
    Delete,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Proto {
    Tcp,
    Udp,
    Sctp,
}

impl Proto {
    pub(super) fn name(self) -> &'static str {
        Protocol::from(self).name()
    }
}

impl From<Proto> for Protocol {
    fn from(proto: Proto) -> Self {
        match proto {
            Proto::Tcp => Self::Tcp,
            Proto::Udp => Self::Udp,
            Proto::Sctp => Self::Sctp,
        }
    }
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Class {
    /// In a pod of the cluster.
    Pod,
    /// A process of the node.
    Node,
    /// A process of the node that asks a loopback address.
    Localhost,
    /// Outside.
    External,
    /// Outside, and it has the Service's own address.
    LbIp,
}

/// The first packet of a new connection, sent again and again from other ports.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Packet {
    pub(super) name: Option<String>,
    #[serde(rename = "srcIP")]
    pub(super) src: IpAddr,
    pub(super) proto: Proto,
    #[serde(rename = "dstIP")]
    pub(super) dst: IpAddr,
    pub(super) dst_port: u16,
    /// Absent: told by the address.
    pub(super) from: Option<Class>,
    pub(super) expect: Expect,
    #[serde(default)]
    pub(super) also_accept: Vec<Expect>,
    #[serde(rename = "origin")]
    pub(super) _origin: Remark,
    #[serde(rename = "assertedBy")]
    pub(super) _asserted_by: Remark,
}

/// A flow that exists before the step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flow {
    pub(super) name: Option<String>,
    pub(super) proto: Proto,
    #[serde(rename = "origDstIP")]
    pub(super) dst: IpAddr,
    #[serde(rename = "origDstPort")]
    pub(super) dst_port: u16,
    #[serde(rename = "replySrcIP")]
    pub(super) reply_src: IpAddr,
    #[serde(rename = "replySrcPort")]
    pub(super) reply_src_port: u16,
    pub(super) expect: Keep,
    #[serde(rename = "via")]
    pub(super) _via: Remark,
}

impl Flow {
    pub(super) fn dst(&self) -> SocketAddr {
        SocketAddr::new(self.dst, self.dst_port)
    }

    pub(super) fn reply_src(&self) -> SocketAddr {
        SocketAddr::new(self.reply_src, self.reply_src_port)
    }
}

/// A new connection at a moment of a sequence.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) at_seconds: u32,
    #[serde(rename = "srcIP")]
    pub(super) src: IpAddr,
    pub(super) src_port: Option<u16>,
    pub(super) proto: Proto,
    #[serde(rename = "dstIP")]
    pub(super) dst: IpAddr,
    pub(super) dst_port: u16,
    pub(super) from: Option<Class>,
    pub(super) expect: Pick,
}

/// A question to the health check server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) name: Option<String>,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) expect: Reply,
}
