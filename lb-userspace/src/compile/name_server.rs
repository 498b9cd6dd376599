//! The node's own name server in the place of the cluster's (`--dns-service`).
//!
//! Clients of this node that ask the `ClusterIP` are answered here while the agent is there, and by
//! the Service's endpoints else; which of both holds is looked at for each new flow, by the programs.

use super::{BackendKey, Family};
use crate::model::{ObjectName, Protocol, Service, ServicePort};
use std::net::SocketAddr;

/// The name server of this node's agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// The Service whose place it takes.
    pub service: ObjectName,
    /// Where it listens: one address of each family that it has.
    pub addrs: Vec<SocketAddr>,
}

impl NameServer {
    /// Where clients ask for names (RFC 1035, 4.2).
    pub const PORT: u16 = 53;

    /// Where it answers in the place of a port of a Service; `None`: it does not.
    pub fn stands_for(
        &self,
        service: &Service,
        port: &ServicePort,
        family: Family,
    ) -> Option<BackendKey> {
        let is_dns =
            port.port == Self::PORT && matches!(port.protocol, Protocol::Tcp | Protocol::Udp);
        if service.name != self.service || !is_dns {
            return None;
        }
        let own = self.addrs.iter().find(|addr| Family::of(addr.ip().into()) == family)?;
        Some((*own).into())
    }
}
