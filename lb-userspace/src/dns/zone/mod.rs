//! The cluster's names: model to answers, by the Kubernetes DNS specification (version 1.1).
//!
//! [`Writer`] takes in changes, [`Zone::answer`] says what holds now; there is no I/O and nothing
//! waits. Where the specification is silent, `CoreDNS` is followed: endpoints without a host name
//! are called by their address, endpoints of every Service have names, pods are answered for
//! without looking whether they exist. Where `CoreDNS` and DNS differ, DNS is followed: a name
//! with names below it exists (RFC 8020), and SRV records are found under their own names only.

/// What DNS has to say of one Service.
mod entry;
/// What questions read.
mod index;
/// Names of addresses.
mod reverse;
/// Changes of the model.
mod writer;

pub use writer::Writer;

use super::name::{labels, name, undashed};
use crate::model::{ObjectName, Protocol};
use entry::{Endpoint, Entry, Kind, Target, addresses};
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use index::Index;
use ipnet::IpNet;
use reverse::Place;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The version of the specification that is followed.
const VERSION: &str = "1.1.0";
/// It changes with the agent only.
const VERSION_TTL: u32 = 28800;
/// How many `ExternalName` Services may lead to each other.
const MOST_ALIASES: usize = 8;
/// More records of addresses or targets than a datagram can hold: the shortest takes 16 bytes. It
/// is certain to be cut, so that a client that wants all of them hears of it.
pub(super) const MORE_THAN_FIT: usize = 80;

/// What a zone is made for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster domain.
    pub domain: Name,
    /// How long answers may be kept, in seconds.
    pub ttl: u32,
    /// Where addresses of the cluster lie: names of others in there do not exist.
    pub ranges: Vec<IpNet>,
    /// The addresses of this server.
    pub servers: Vec<IpAddr>,
}

/// The cluster's names.
#[derive(Debug)]
pub struct Zone {
    settings: Settings,
    /// The domain's labels.
    domain: Vec<Vec<u8>>,
    index: Index,
    serial: AtomicU32,
    complete: AtomicBool,
}

/// What the zone has to say to a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The name is not of the cluster.
    Foreign,
    /// Aliases lead to each other without end.
    Endless,
    /// This holds.
    Known(Known),
}

/// What holds for a name of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// There is no such name.
    pub no_such_name: bool,
    /// The records that were asked for.
    pub answers: Vec<Record>,
    /// With a negative answer: where the name would be.
    pub authorities: Vec<Record>,
    /// What is asked for next.
    pub additionals: Vec<Record>,
    /// An alias led out of the cluster, to this name.
    pub onward: Option<Name>,
}

/// What is at a name.
enum Node {
    /// Nothing.
    Missing,
    /// Nothing, but there are names below.
    Empty,
    /// An alias.
    Alias(Name),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// SRV records.
    Targets(Vec<Target>),
    /// The domain itself.
    Apex,
    /// The version of the specification.
    Version,
}

impl Zone {
    /// An empty one; `now_s` are seconds since 1970.
    pub fn new(settings: Settings, now_s: u32) -> Self {
        Self {
            domain: labels(&settings.domain),
            settings,
            index: Index::default(),
            serial: AtomicU32::new(now_s),
            complete: AtomicBool::new(false),
        }
    }

    /// Whether everything that existed at the start is in it. Until then what is missing may exist.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    fn set(&self, name: &ObjectName, entry: Option<Arc<Entry>>) {
        self.index.set(&name.namespace, &name.name, entry);
        self.serial.fetch_add(1, Ordering::Relaxed);
    }

    /// The DNS name of a Service; `None`: it is too long for DNS.
    fn service_name(&self, service: &ObjectName) -> Option<Name> {
        let local = name([&*service.name, &*service.namespace, "svc"])?;
        local.append_domain(&self.settings.domain).ok()
    }

    /// What holds for a question, with the records of a name in random order.
    pub fn answer(&self, asked: &Name, kind: RecordType) -> Answer {
        self.sample(asked, kind, usize::MAX)
    }

    /// The same, with `most` of the addresses or targets of a name, chosen at random: nobody makes
    /// thousands of records for a datagram.
    pub fn sample(&self, asked: &Name, kind: RecordType, most: usize) -> Answer {
        let path = labels(asked);
        match Place::of(&path) {
            Some(place) => self.reverse(asked, kind, place),
            None => self.forward(asked, (kind, most), path),
        }
    }

    /// Follows aliases as long as they stay in the cluster.
    fn forward(
        &self,
        asked: &Name,
        (kind, most): (RecordType, usize),
        mut path: Vec<Vec<u8>>,
    ) -> Answer {
        if !path.ends_with(&self.domain) {
            return Answer::Foreign;
        }
        let mut known = Known::default();
        let mut owner = asked.clone();
        for _ in 0..MOST_ALIASES {
            let node = self.node(&path);
            let Node::Alias(target) = node else {
                self.records(&owner, (kind, most), node, &mut known);
                return Answer::Known(known);
            };
            known.answers.push(self.record(&owner, RData::CNAME(CNAME(target.clone()))));
            if kind == RecordType::CNAME {
                return Answer::Known(known);
            }
            path = labels(&target);
            if !path.ends_with(&self.domain) {
                known.onward = Some(target);
                return Answer::Known(known);
            }
            owner = target;
        }
        Answer::Endless
    }

    /// What is at a name of the cluster domain.
    fn node(&self, path: &[Vec<u8>]) -> Node {
        let local = path.get(..path.len() - self.domain.len()).unwrap_or_default();
        let local: Vec<&[u8]> = local.iter().rev().map(Vec::as_slice).collect();
        match local.as_slice() {
            [] => Node::Apex,
            [b"dns-version"] => Node::Version,
            [b"svc" | b"pod" | b"dns"] | [b"pod", _] => Node::Empty,
            [b"dns", b"ns"] => Node::Addresses(self.settings.servers.clone()),
            [b"pod", _, pod] => {
                undashed(pod).map_or(Node::Missing, |address| Node::Addresses(vec![address]))
            }
            [b"svc", namespace] => self.namespace(namespace),
            [b"svc", namespace, service, below @ ..] => self.service(namespace, service, below),
            _ => Node::Missing,
        }
    }

    fn namespace(&self, namespace: &[u8]) -> Node {
        let is_known = std::str::from_utf8(namespace).is_ok_and(|ns| self.index.has_namespace(ns));
        if is_known { Node::Empty } else { Node::Missing }
    }

    fn service(&self, namespace: &[u8], service: &[u8], below: &[&[u8]]) -> Node {
        let found = std::str::from_utf8(namespace).ok().zip(std::str::from_utf8(service).ok());
        let entry = found.and_then(|(namespace, service)| self.index.service(namespace, service));
        let Some(entry) = entry.filter(|entry| entry.exists()) else { return Node::Missing };
        match below {
            [] => own(&entry),
            [label] => endpoint(&entry, label),
            [protocol, port] => targets(&entry, protocol, port),
            _ => Node::Missing,
        }
    }

    fn reverse(&self, asked: &Name, kind: RecordType, place: Place) -> Answer {
        let names = place.address().map(|address| self.index.names(address)).unwrap_or_default();
        let zone = place.zone(&self.settings.ranges);
        let mut known = Known::default();
        match zone {
            None if names.is_empty() => return Answer::Foreign,
            Some(zone) if names.is_empty() && zone == *asked => self.apex(asked, kind, &mut known),
            Some(zone) if names.is_empty() => {
                known.no_such_name = place.address().is_some() || place.beyond;
                known.authorities.push(self.soa(&zone));
            }
            Some(_) | None if kind == RecordType::PTR => {
                let pointers = names.into_iter().map(|name| RData::PTR(PTR(name)));
                known.answers = pointers.map(|data| self.record(asked, data)).collect();
                fastrand::shuffle(&mut known.answers);
            }
            // The name exists, and has nothing else.
            zone => known.authorities.push(self.soa(&zone.unwrap_or_else(|| asked.clone()))),
        }
        Answer::Known(known)
    }

    /// The records of `kind` at a node, or why there are none.
    fn records(
        &self,
        owner: &Name,
        (kind, most): (RecordType, usize),
        node: Node,
        known: &mut Known,
    ) {
        let before = known.answers.len();
        match node {
            Node::Missing => known.no_such_name = true,
            Node::Apex => self.apex(owner, kind, known),
            Node::Version if kind == RecordType::TXT => {
                let text = RData::TXT(TXT::new(vec![VERSION.to_owned()]));
                known.answers.push(Record::from_rdata(owner.clone(), VERSION_TTL, text));
            }
            Node::Addresses(addresses) => {
                let asked = addresses.iter().filter(|address| record_type(**address) == kind);
                let chosen = some(asked, most);
                let records = chosen.into_iter().map(|one| self.record(owner, RData::from(*one)));
                known.answers.extend(records);
            }
            Node::Targets(targets) if kind == RecordType::SRV => {
                self.services(owner, (targets, most), known);
            }
            Node::Empty | Node::Version | Node::Targets(_) | Node::Alias(_) => {}
        }
        if known.answers.len() == before && known.authorities.is_empty() {
            known.authorities.push(self.soa(&self.settings.domain));
        }
        if let Some(new) = known.answers.get_mut(before..) {
            fastrand::shuffle(new);
        }
    }

    /// The records of a zone itself.
    fn apex(&self, owner: &Name, kind: RecordType, known: &mut Known) {
        if kind == RecordType::SOA {
            known.answers.push(self.soa(owner));
        } else if kind == RecordType::NS {
            let server = self.server().map(|server| self.record(owner, RData::NS(NS(server))));
            known.answers.extend(server);
        } else {
            known.authorities.push(self.soa(owner));
        }
    }

    /// Targets share the load evenly; what leads there goes with them.
    fn services(&self, owner: &Name, (targets, most): (Vec<Target>, usize), known: &mut Known) {
        let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or_default().max(1);
        for Target { port, name, addresses } in some(targets.into_iter(), most) {
            let further = addresses.iter().map(|address| self.record(&name, (*address).into()));
            known.additionals.extend(further);
            let service = SRV::new(0, weight, port, name);
            known.answers.push(self.record(owner, RData::SRV(service)));
        }
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), self.settings.ttl, data)
    }

    /// `ns.dns.DOMAIN`, as `CoreDNS` calls itself.
    fn server(&self) -> Option<Name> {
        name(["ns", "dns"])?.append_domain(&self.settings.domain).ok()
    }

    fn soa(&self, zone: &Name) -> Record {
        let domain = &self.settings.domain;
        let server = self.server().unwrap_or_else(|| domain.clone());
        let person = name(["hostmaster"]).and_then(|name| name.append_domain(domain).ok());
        let person = person.unwrap_or_else(|| domain.clone());
        let serial = self.serial.load(Ordering::Relaxed);
        // Nobody transfers the zone: only the last one, for how long a negative answer holds,
        // means something.
        let soa = SOA::new(server, person, serial, 7200, 1800, 86400, self.settings.ttl);
        self.record(zone, RData::SOA(soa))
    }
}

fn record_type(address: IpAddr) -> RecordType {
    if address.is_ipv4() { RecordType::A } else { RecordType::AAAA }
}

/// `most` of them at random, or all.
fn some<T>(all: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    if most == usize::MAX { all.collect() } else { fastrand::choose_multiple(all, most) }
}

fn own(entry: &Entry) -> Node {
    match &entry.kind {
        Kind::External(target) => Node::Alias(target.clone()),
        Kind::Cluster(_) | Kind::Headless => Node::Addresses(entry.addresses.clone()),
    }
}

/// One label below a Service: an endpoint, or what SRV records lie below.
fn endpoint(entry: &Entry, label: &[u8]) -> Node {
    let endpoints: &[Endpoint] = match entry.kind {
        Kind::Cluster(_) | Kind::Headless => entry.labelled(label),
        Kind::External(_) => &[],
    };
    if !endpoints.is_empty() {
        return Node::Addresses(addresses(endpoints));
    }
    let is_above = protocol(label).is_some_and(|protocol| entry.has_protocol(protocol));
    if is_above { Node::Empty } else { Node::Missing }
}

/// Two labels below a Service: `_port._protocol`.
fn targets(entry: &Entry, protocol_label: &[u8], port_label: &[u8]) -> Node {
    let asked = protocol(protocol_label).zip(port_label.strip_prefix(b"_"));
    let targets = asked.map(|(protocol, port)| entry.targets(port, protocol)).unwrap_or_default();
    if targets.is_empty() { Node::Missing } else { Node::Targets(targets) }
}

fn protocol(label: &[u8]) -> Option<Protocol> {
    match label {
        b"_tcp" => Some(Protocol::Tcp),
        b"_udp" => Some(Protocol::Udp),
        b"_sctp" => Some(Protocol::Sctp),
        _ => None,
    }
}
