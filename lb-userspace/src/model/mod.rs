//! What the agent knows of the cluster: plain, ordered, comparable values.
//!
//! `source` makes them, every later stage reads them. Nothing here knows a Kubernetes client or
//! the kernel. Words are Kubernetes'; defaults are applied at the door, so that later stages never
//! ask what an absent field means.

/// What an agent says of itself.
pub mod status;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub struct ObjectName {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// The object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A transport protocol that a Service can have.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// The default.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// Kubernetes' spelling.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ServiceType {
    /// Reachable inside the cluster (and the base of the next two).
    #[default]
    ClusterIP,
    /// Also by a port of every node.
    NodePort,
    /// Also by addresses of a load balancer.
    LoadBalancer,
    /// A DNS alias only.
    ExternalName,
}

/// `externalTrafficPolicy`, `internalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TrafficPolicy {
    /// Every usable endpoint of the cluster.
    #[default]
    Cluster,
    /// Endpoints of the node that got the packet only.
    Local,
}

/// `spec.ports[].targetPort`: kept for people; endpoints carry the numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// A name of a container port, resolved per pod.
    Name(String),
}

impl fmt::Display for TargetPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

/// `spec.ports[]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicePort {
    /// Any text; with the protocol it tells the port from the Service's others.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port at the Service's addresses, 1 to 65535.
    pub port: u16,
    /// The endpoints' port as written.
    pub target_port: TargetPort,
    /// Its port at the node's addresses.
    pub node_port: Option<u16>,
}

/// `status.loadBalancer.ingress[]` with an address that packets are aimed at
/// (`ipMode: VIP`, the default; entries with `ipMode: Proxy` or without an IP never get here).
pub type LoadBalancerIp = IpAddr;

/// Something that an object names and that cannot be used; kept so that it can be explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unusable {
    /// The field, as a path.
    pub field: String,
    /// What it says; empty if it cannot be read as text.
    pub text: String,
    /// Why it cannot be used.
    pub why: Obstacle,
}

/// Why something that an object names cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// `ipMode: Proxy`: the load balancer ends connections itself and sends them on to node ports.
    ProxyMode,
    /// An ingress that has a host name and no address.
    HostNameOnly,
    /// It is wrong; the sentence of the [`Problem`].
    Invalid(String),
}

impl Obstacle {
    /// The reason for people.
    pub fn sentence(&self) -> &str {
        match self {
            Self::ProxyMode => "ipMode is Proxy: the load balancer ends connections itself",
            Self::HostNameOnly => "a host name is no address that packets are aimed at",
            Self::Invalid(message) => message,
        }
    }
}

/// How new connections choose among endpoints (annotation `service.lb/algorithm`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// By a seeded hash of the connection.
    #[default]
    Random,
    /// By a Maglev table that is the same on every node.
    Maglev,
}

/// Over what a client with `sessionAffinity: ClientIP` keeps its endpoint (annotation
/// `service.lb/affinity-scope`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum AffinityScope {
    /// Over each port of the Service apart, as with kube-proxy.
    #[default]
    Port,
    /// Over all ports of the Service together.
    Service,
}

/// A v1 Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its namespace and name.
    pub name: ObjectName,
    /// `metadata.uid`; empty where no API server gave one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs` without "None"; empty for headless and `ExternalName` Services.
    pub cluster_ips: Vec<IpAddr>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// `spec.externalName`.
    pub external_name: Option<String>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of the load balancer.
    pub load_balancer_ips: Vec<LoadBalancerIp>,
    /// `spec.loadBalancerSourceRanges`; none of a family: everybody of that family.
    pub source_ranges: Vec<IpNet>,
    /// Addresses and ports that it names and that cannot be used.
    pub unusable: Vec<Unusable>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// Seconds of silence after which a client with `sessionAffinity: ClientIP` is forgotten;
    /// `None`: no affinity.
    pub affinity_timeout_s: Option<u32>,
    /// Over what it keeps its endpoint until then.
    pub affinity_scope: AffinityScope,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`.
    pub health_check_node_port: Option<u16>,
    /// `spec.selector`; empty: endpoints are written by hand.
    pub selector: BTreeMap<String, String>,
    /// `spec.publishNotReadyAddresses`, or the old annotation
    /// `service.alpha.kubernetes.io/tolerate-unready-endpoints`.
    pub publish_not_ready: bool,
    /// How connections choose.
    pub algorithm: Algorithm,
    /// Label `service.kubernetes.io/service-proxy-name`: whose Service it is, if not ours.
    pub other_proxy: Option<String>,
    /// `metadata.creationTimestamp` in seconds since 1970; 0 if unknown. The older of two Services
    /// that claim one address keeps it.
    pub created_s: i64,
}

/// A v1 `EndpointSlice`, or what was made from Endpoints or Pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointSlice {
    /// Its namespace and name.
    pub name: ObjectName,
    /// The Service it belongs to: label `kubernetes.io/service-name`, same namespace.
    pub service: String,
    /// Its ports, for every endpoint alike.
    pub ports: Vec<EndpointPort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints and ports that it lists and that cannot be used.
    pub unusable: Vec<Unusable>,
    /// What it was changed for last, as far as the control plane says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
}

/// The change of a pod or Service that made the control plane write a slice, for measuring how
/// long it takes until packets follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// Annotation `endpoints.kubernetes.io/last-change-trigger-time`: milliseconds since 1970.
    pub at_ms: i64,
    /// `addressType: IPv6`.
    pub ipv6: bool,
}

/// `ports[]` of an `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EndpointPort {
    /// Joins it to the Service's port of the same name.
    pub name: String,
    /// Its protocol; must be the Service port's.
    pub protocol: Protocol,
    /// Where the endpoints listen, 1 to 65535.
    pub port: u16,
}

/// `endpoints[]` of an `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// `addresses[0]`; further ones mean nothing.
    pub address: IpAddr,
    /// `conditions.ready`; absent: true.
    pub ready: bool,
    /// `conditions.serving`; absent: true.
    pub serving: bool,
    /// `conditions.terminating`; absent: false.
    pub terminating: bool,
    /// `nodeName`; absent: not on this node.
    pub node: Option<String>,
    /// `zone`.
    pub zone: Option<String>,
    /// `hints.forZones[].name`.
    pub hint_zones: Vec<String>,
    /// `hints.forNodes[].name`.
    pub hint_nodes: Vec<String>,
    /// `hostname`, for DNS.
    pub hostname: Option<String>,
    /// The Pod behind it.
    pub pod: Option<String>,
    /// Why it is not ready, if a probe of this agent says so: `readinessProbe: HTTP 503`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
}

/// The v1 Node that the agent runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// Load balancers may send to it: it is there, is not being deleted, and the cluster's
    /// autoscaler is not about to (taint `ToBeDeletedByClusterAutoscaler`; KEP 3836).
    pub eligible: bool,
}

impl Node {
    /// Label `topology.kubernetes.io/zone`, if it is not empty.
    pub fn zone(&self) -> Option<&str> {
        self.labels
            .get("topology.kubernetes.io/zone")
            .map(String::as_str)
            .filter(|zone| !zone.is_empty())
    }
}

/// Something in the objects that cannot be done as written; the rest goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: a file and document, or a kind and name.
    pub subject: String,
    /// The field, as a path (`spec.ports[0].nodePort`); empty if it is about the whole.
    pub field: String,
    /// What is wrong and what happens instead: one sentence, no final period.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// One change of the model, as a source reports it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A Service is now this; `None`: gone.
    Service(ObjectName, Option<Box<Service>>),
    /// An `EndpointSlice` is now this; `None`: gone.
    Slice(ObjectName, Option<EndpointSlice>),
    /// The agent's own Node is now this.
    Node(Node),
    /// The API server answers questions about this kind of objects, or does not.
    Watched(&'static str, bool),
    /// These are all the problems that the source has now.
    Problems(Vec<Problem>),
    /// Everything that existed at the start has been reported. Nothing may be written to the
    /// kernel before it.
    Synced,
}

/// Everything known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// All Services.
    pub services: BTreeMap<ObjectName, Service>,
    /// All slices, by the Service they belong to, then by their own name.
    pub slices: BTreeMap<ObjectName, BTreeMap<String, EndpointSlice>>,
    /// This node.
    pub node: Node,
}
