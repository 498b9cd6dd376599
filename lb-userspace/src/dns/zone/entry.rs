//! What DNS has to say of one Service: made anew when the Service or its slices change, read by
//! every question.

use super::super::name::{dashed, name};
use crate::model::{EndpointPort, EndpointSlice, Protocol, Service, ServicePort, ServiceType};
use hickory_proto::rr::Name;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What a Service's own name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its cluster addresses.
    Cluster(Vec<IpAddr>),
    /// Its endpoints.
    Headless,
    /// Another name.
    External(Name),
}

/// A Service as DNS sees it, without its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    kind: Kind,
    ports: Vec<ServicePort>,
    publish_not_ready: bool,
}

/// A slice as DNS sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    ports: Arc<[EndpointPort]>,
    endpoints: Vec<Candidate>,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    label: String,
    address: IpAddr,
    ready: bool,
}

/// A Service's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// `service.namespace.svc.DOMAIN`.
    pub(super) name: Name,
    pub(super) kind: Kind,
    /// The addresses that its own name stands for, each once.
    pub(super) addresses: Vec<IpAddr>,
    /// The Service's own ports.
    pub(super) ports: Vec<ServicePort>,
    /// Those that are published, by label.
    pub(super) endpoints: Vec<Endpoint>,
}

/// An endpoint that has records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Its host name, or its address with dashes.
    pub(super) label: String,
    /// `label.service.namespace.svc.DOMAIN`.
    pub(super) name: Name,
    pub(super) address: IpAddr,
    pub(super) ports: Arc<[EndpointPort]>,
}

impl Facts {
    /// `None`: the Service has no records.
    pub(super) fn of(service: &Service) -> Option<Self> {
        let kind = match (&service.external_name, service.kind) {
            (Some(target), _) => Kind::External(external(target)?),
            (None, ServiceType::ExternalName) => return None,
            (None, _) if service.headless => Kind::Headless,
            (None, _) => Kind::Cluster(service.cluster_ips.clone()),
        };
        let ports = service.ports.clone();
        Some(Self { kind, ports, publish_not_ready: service.publish_not_ready })
    }
}

/// What an `ExternalName` leads to. An address is no name, whatever it looks like: nobody gives
/// out top level domains of digits.
fn external(target: &str) -> Option<Name> {
    if target.parse::<IpAddr>().is_ok() {
        return None;
    }
    name(target.split('.'))
}

impl Slice {
    pub(super) fn of(slice: &EndpointSlice) -> Self {
        let candidate = |endpoint: &crate::model::Endpoint| Candidate {
            label: label(endpoint.hostname.as_deref(), endpoint.address),
            address: endpoint.address,
            ready: endpoint.ready,
        };
        Self {
            ports: slice.ports.as_slice().into(),
            endpoints: slice.endpoints.iter().map(candidate).collect(),
        }
    }
}

fn label(hostname: Option<&str>, address: IpAddr) -> String {
    let hostname = hostname.filter(|hostname| !hostname.is_empty());
    hostname.map_or_else(|| dashed(address), str::to_ascii_lowercase)
}

impl Entry {
    /// The records of a Service called `name`.
    pub(super) fn new<'a>(
        name: Name,
        facts: &Facts,
        slices: impl IntoIterator<Item = &'a Slice>,
    ) -> Self {
        let mut endpoints: Vec<Endpoint> =
            slices.into_iter().flat_map(|slice| facts.published(&name, slice)).collect();
        endpoints.sort_by(|a, b| (&a.label, a.address).cmp(&(&b.label, b.address)));
        let addresses = match &facts.kind {
            Kind::Cluster(addresses) => addresses.clone(),
            Kind::Headless => addresses(&endpoints),
            Kind::External(_) => Vec::new(),
        };
        let (kind, ports) = (facts.kind.clone(), facts.ports.clone());
        Self { name, kind, addresses, ports, endpoints }
    }

    /// The endpoints that a label stands for.
    pub(super) fn labelled(&self, label: &[u8]) -> &[Endpoint] {
        let begin = self.endpoints.partition_point(|endpoint| endpoint.label.as_bytes() < label);
        let rest = self.endpoints.get(begin..).unwrap_or_default();
        let count = rest.partition_point(|endpoint| endpoint.label.as_bytes() == label);
        rest.get(..count).unwrap_or_default()
    }

    /// Addresses that lead back to the Service itself.
    pub(super) fn cluster_ips(&self) -> &[IpAddr] {
        match &self.kind {
            Kind::Cluster(addresses) => addresses,
            Kind::Headless | Kind::External(_) => &[],
        }
    }

    /// Whether its own name has any record, or a name below it.
    pub(super) fn exists(&self) -> bool {
        match &self.kind {
            Kind::Cluster(_) | Kind::External(_) => true,
            Kind::Headless => !self.endpoints.is_empty(),
        }
    }

    /// What SRV records of a named port say: port, target, and the target's addresses.
    pub(super) fn targets(&self, port: &[u8], protocol: Protocol) -> Vec<Target> {
        match &self.kind {
            Kind::Cluster(addresses) => self.own_targets(port, protocol, addresses),
            Kind::Headless => self.endpoint_targets(port, protocol),
            Kind::External(_) => Vec::new(),
        }
    }

    /// Whether a named port has this protocol, so that there are names below `_tcp` or `_udp`.
    pub(super) fn has_protocol(&self, protocol: Protocol) -> bool {
        let of_service = |port: &ServicePort| port.protocol == protocol && !port.name.is_empty();
        let of_endpoint = |port: &EndpointPort| port.protocol == protocol && !port.name.is_empty();
        match &self.kind {
            Kind::Cluster(_) => self.ports.iter().any(of_service),
            Kind::Headless => {
                self.endpoints.iter().any(|endpoint| endpoint.ports.iter().any(of_endpoint))
            }
            Kind::External(_) => false,
        }
    }

    fn own_targets(&self, port: &[u8], protocol: Protocol, addresses: &[IpAddr]) -> Vec<Target> {
        let named = self.ports.iter().filter(|one| is_named(&one.name, port));
        let named = named.filter(|one| one.protocol == protocol);
        let target = |one: &ServicePort| Target {
            port: one.port,
            name: self.name.clone(),
            addresses: addresses.to_vec(),
        };
        named.map(target).collect()
    }

    /// An endpoint with addresses of both families is one target, if it has a host name.
    fn endpoint_targets(&self, port: &[u8], protocol: Protocol) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for endpoint in &self.endpoints {
            let ports = endpoint.ports.iter().filter(|one| is_named(&one.name, port));
            for one in ports.filter(|one| one.protocol == protocol) {
                match targets.last_mut() {
                    Some(last) if last.port == one.port && last.name == endpoint.name => {
                        // It may stand in two slices.
                        if !last.addresses.contains(&endpoint.address) {
                            last.addresses.push(endpoint.address);
                        }
                    }
                    _ => targets.push(Target {
                        port: one.port,
                        name: endpoint.name.clone(),
                        addresses: vec![endpoint.address],
                    }),
                }
            }
        }
        targets
    }
}

/// What an SRV record leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) name: Name,
    pub(super) addresses: Vec<IpAddr>,
}

/// A port without a name has no SRV record.
fn is_named(name: &str, asked: &[u8]) -> bool {
    !name.is_empty() && name.as_bytes().eq_ignore_ascii_case(asked)
}

/// Each once.
pub(super) fn addresses(endpoints: &[Endpoint]) -> Vec<IpAddr> {
    let all: BTreeSet<IpAddr> = endpoints.iter().map(|endpoint| endpoint.address).collect();
    all.into_iter().collect()
}

impl Facts {
    /// The endpoints of a slice that have records.
    fn published(&self, service: &Name, slice: &Slice) -> Vec<Endpoint> {
        let published = slice.endpoints.iter().filter(|one| one.ready || self.publish_not_ready);
        let endpoint = |one: &Candidate| {
            let name = service.prepend_label(one.label.as_bytes()).ok()?;
            let (label, ports) = (one.label.clone(), slice.ports.clone());
            Some(Endpoint { label, name, address: one.address, ports })
        };
        published.filter_map(endpoint).collect()
    }
}
