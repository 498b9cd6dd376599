//! What kube-proxy has programmed on this node, beside what we would.
//!
//! Both are brought to one form: where a frontend leads. Masquerading, session affinity and source
//! ranges are not compared.

/// What tables of ours mean.
mod ours;
/// What rules of kube-proxy's nftables mode mean.
mod nftables;
/// What rules of kube-proxy's iptables mode mean.
mod iptables;
/// Which differences last.
pub mod settling;
/// What this node's kernel has.
mod kernel;

pub use kernel::Proxy;
pub use ours::ours;

use crate::compile::Family;
use lb_common::wire::IpProto;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What means a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frontend {
    /// Its address; `None`: a port of the node.
    pub addr: Option<IpAddr>,
    /// The family.
    pub family: Family,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub proto: IpProto,
}

/// Where a frontend leads a client: one inside for a `ClusterIP`, else one outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lead {
    /// To one of these.
    To(BTreeSet<SocketAddr>),
    /// Nowhere; the client is told.
    Refused,
    /// Nowhere; the client is told nothing.
    Dropped,
}

/// All frontends of a node.
pub type Leads = BTreeMap<Frontend, Lead>;

/// A frontend on which two proxies differ; `None`: one does not have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// What means the Service.
    pub frontend: Frontend,
    /// Where it leads here.
    pub ours: Option<Lead>,
    /// Where kube-proxy leads it.
    pub theirs: Option<Lead>,
}

/// All differences, by frontend.
pub fn differences(ours: &Leads, theirs: &Leads) -> BTreeSet<Difference> {
    let all: BTreeSet<&Frontend> = ours.keys().chain(theirs.keys()).collect();
    let differ = all.into_iter().filter(|frontend| ours.get(frontend) != theirs.get(frontend));
    let difference = |frontend: &Frontend| Difference {
        frontend: frontend.clone(),
        ours: ours.get(frontend).cloned(),
        theirs: theirs.get(frontend).cloned(),
    };
    differ.map(difference).collect()
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            Some(addr) => write!(f, "{}/{}", SocketAddr::new(addr, self.port), self.proto),
            None => {
                write!(f, "node port {}/{} (IPv{})", self.port, self.proto, self.family.number())
            }
        }
    }
}

impl Serialize for Frontend {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(all) => {
                let all: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&all.join(","))
            }
            Self::Refused => f.write_str("refused"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

/// A protocol by its name in rules.
fn proto(name: &str) -> Option<IpProto> {
    match name {
        "tcp" => Some(IpProto::TCP),
        "udp" => Some(IpProto::UDP),
        "sctp" => Some(IpProto::SCTP),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
