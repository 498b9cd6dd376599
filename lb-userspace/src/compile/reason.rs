//! Why something is used or not: the answers of the rules, as values with a sentence each.
//!
//! Selection itself gives them (`endpoint`, `frontend`); nobody works them out a second time for
//! people. Sentences are made when somebody asks.

use crate::model::ObjectName;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::net::SocketAddr;

/// Why nothing of a Service is programmed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// It belongs to this proxy.
    OtherProxy(String),
    /// `type: ExternalName`.
    ExternalName,
    /// `clusterIP: None`.
    Headless,
    /// It has no `ClusterIP`, of no family.
    NoClusterIp,
}

impl Skipped {
    /// The reason for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::OtherProxy(name) => {
                format!("the Service belongs to another proxy, {name}, and is left alone")
            }
            Self::ExternalName => "an ExternalName is a matter of DNS, not of packets".to_owned(),
            Self::Headless => {
                "the Service is headless: its clients know the endpoints from DNS".to_owned()
            }
            Self::NoClusterIp => "the Service has no ClusterIP".to_owned(),
        }
    }
}

/// What became of an address and port that a Service names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It leads to the Service.
    Programmed,
    /// Nothing of the Service is programmed.
    Skipped(Skipped),
    /// The Service has no `ClusterIP` of its family.
    OtherFamily,
    /// The Service names it twice; once is enough.
    Repeated,
    /// It leads to the Service, but no address of the node serves node ports in this family.
    NoNodeAddress,
    /// An older claim holds it.
    Contested(ObjectName),
    /// There is no room in this table.
    TableFull(Cow<'static, str>),
}

impl Standing {
    /// Whether it is planned, so that it leads to the Service if the tables let it.
    pub fn is_planned(&self) -> bool {
        matches!(self, Self::Programmed | Self::NoNodeAddress)
    }

    /// The reason for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::Programmed => "programmed".to_owned(),
            Self::Skipped(skipped) => skipped.sentence(),
            Self::OtherFamily => "the Service has no ClusterIP of this family".to_owned(),
            Self::Repeated => "the Service names it twice".to_owned(),
            Self::NoNodeAddress => {
                "no address of this node serves node ports in this family".to_owned()
            }
            Self::Contested(holder) => format!("it belongs to Service {holder} already"),
            Self::TableFull(table) => format!("the table of {table} is full"),
        }
    }
}

/// What the external traffic policy of a service port means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyUse {
    /// Outsiders get the endpoints of all nodes.
    Cluster,
    /// They get those of this node.
    Local,
    /// `Local` is written, for a Service that outsiders do not reach by its type.
    UnusedByType,
    /// `Local` is written, and this port has no address or node port for outsiders.
    UnusedByPort,
}

impl PolicyUse {
    /// What it means, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Cluster => "outsiders get the endpoints of all nodes",
            Self::Local => "outsiders get the endpoints of this node",
            Self::UnusedByType => {
                "externalTrafficPolicy: Local means nothing for this type without external IPs"
            }
            Self::UnusedByPort => {
                "externalTrafficPolicy: Local means nothing: no address of this port is for outsiders"
            }
        }
    }
}

/// Whether new connections may choose an endpoint, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// They may.
    Used,
    /// No policy leads there: nobody chooses from this set.
    SetUnused,
    /// It runs on another node, or nobody knows where.
    OnAnotherNode,
    /// It is not ready, and not because it terminates.
    NotReady,
    /// It terminates and does not serve any more.
    NotServing,
    /// It serves while it terminates, and there are ready ones.
    NotNeeded,
    /// Its topology hints name other nodes or zones.
    HintedElsewhere,
}

impl Usage {
    /// The reason for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::SetUnused => "no traffic policy asks for it",
            Self::OnAnotherNode => "runs on another node",
            Self::NotReady => "is not ready",
            Self::NotServing => "terminates and does not serve any more",
            Self::NotNeeded => "terminates, and there are ready ones",
            Self::HintedElsewhere => "is meant for another node or zone by its topology hints",
        }
    }
}

/// Why an entry of a slice is no endpoint of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unjoined {
    /// The slice has no port of this name.
    OtherPort,
    /// The slice's port of this name has another protocol.
    OtherProtocol,
    /// Its address is of the other family.
    OtherFamily,
    /// The slice of this name has the same address and port, and its entry counts.
    Duplicate(String),
}

impl Unjoined {
    /// The reason for people.
    pub fn sentence(&self) -> String {
        match self {
            Self::OtherPort => "its slice has no port of this name".to_owned(),
            Self::OtherProtocol => "the port of this name has another protocol".to_owned(),
            Self::OtherFamily => "its address is of the other family".to_owned(),
            Self::Duplicate(slice) => {
                format!("it is listed twice, and what slice {slice} says counts")
            }
        }
    }
}

/// Whether hints of one kind narrow the choice, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HintUse {
    /// Only endpoints that are meant for this place are used.
    Followed,
    /// Hints for nodes decide already, or nobody chooses from the whole cluster.
    NotAsked,
    /// No endpoint is ready, and others have no say.
    NobodyReady,
    /// No ready endpoint has one.
    Absent,
    /// This ready endpoint has none, though others have: all are ignored.
    Missing(SocketAddr),
    /// All have one, and none is for this place.
    NoneFits,
    /// All have one, and nobody knows which zone the node is in.
    NoZone,
}

impl HintUse {
    /// The reason for people.
    pub fn sentence(self) -> String {
        match self {
            Self::Followed => "followed".to_owned(),
            Self::NotAsked => "not asked for".to_owned(),
            Self::NobodyReady => "ignored: no endpoint is ready".to_owned(),
            Self::Absent => "there are none".to_owned(),
            Self::Missing(endpoint) => format!("ignored: endpoint {endpoint} has none"),
            Self::NoneFits => "ignored: no endpoint is meant for this place".to_owned(),
            Self::NoZone => "ignored: the node has no label topology.kubernetes.io/zone".to_owned(),
        }
    }
}
