//! The cluster's name server: model to answers, and names outside of it by way of upstreams.
//!
//! `zone` holds the cluster's names and is brought up to date before the agent's loop hears of a
//! change ([`Dns::run`] stands between the source and the loop), so that answers do not wait for a
//! round of table writes. `server` has the sockets and a limit for everything that a client could
//! use up; `forward` asks others, once for all who want to know, and remembers. It runs in tasks of
//! its own. Nothing here decides where packets go: `compile` reads the same model.

/// A question to a reply.
mod answer;
/// Names outside of the cluster.
mod forward;
/// Proof that it answers.
mod heartbeat;
/// Labels and names.
mod name;
/// Sockets.
mod server;
/// Packets.
mod wire;
/// The cluster's names.
pub mod zone;

pub use crate::metrics::dns::Transport;
pub use server::access::Access;

use crate::compile::NameServer;
use crate::metrics::dns::Numbers;
use crate::model::{Change, ObjectName, Problem, Service};
use answer::Answerer;
use forward::{Forwarder, resolv};
use hickory_proto::rr::Name;
use ipnet::IpNet;
use jiff::Timestamp;
use server::{Server, Step};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::task::JoinSet;
use zone::{Writer, Zone};

/// How many changes the agent's loop may be behind; then the source waits, and DNS with it.
const MOST_BEHIND: usize = 1 << 16;

/// What the operator asked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where questions are answered; nowhere: there is no name server.
    pub listen: Vec<SocketAddr>,
    /// The cluster domain.
    pub domain: Name,
    /// Who is asked for other names; nobody was named: whom the node asks.
    pub upstreams: Option<Vec<SocketAddr>>,
    /// How long answers may be kept, in seconds.
    pub ttl: u32,
    /// Who may ask beside the node and its pods.
    pub allow: Vec<IpNet>,
    /// Where addresses of the cluster lie.
    pub ranges: Vec<IpNet>,
    /// In the place of which Service it answers, and where.
    pub name_server: Option<NameServer>,
}

/// A name server at work; it ends when dropped.
#[derive(Debug)]
pub struct Dns {
    server: Arc<Server>,
    access: Access,
    numbers: Numbers,
    /// Whom the node asks, if nobody was named: this server's own addresses, and whom it found.
    system: Option<Arc<System>>,
    writer: Writer,
    domain: Name,
    name_server: Option<NameServer>,
    /// Where the Service is that it stands for, as far as it is known.
    place: Place,
    upstreams: Vec<SocketAddr>,
    tasks: JoinSet<()>,
}

/// Where a Service is that a name server stands for.
#[derive(Debug, Default)]
struct Place {
    /// Its addresses, if clients ask there for names.
    addresses: Vec<IpAddr>,
    /// It would have been told by now.
    complete: bool,
}

/// What the agent's loop has to do with it.
#[derive(Clone, Debug)]
pub struct Handle {
    server: Arc<Server>,
    access: Access,
    numbers: Numbers,
    system: Option<Arc<System>>,
}

/// Upstreams that the system named.
#[derive(Debug)]
struct System {
    /// Where this server listens.
    ours: Vec<SocketAddr>,
    found: Vec<SocketAddr>,
}

impl Dns {
    /// Answers from now on: for names of the cluster with SERVFAIL until all objects are known.
    pub fn start(settings: Settings) -> Self {
        let upstreams = upstreams(&settings);
        let numbers = Numbers::new(&upstreams);
        let access = Access::new(settings.allow.clone());
        let zone = Arc::new(Zone::new(
            zone::Settings {
                domain: settings.domain.clone(),
                ttl: settings.ttl,
                ranges: settings.ranges.clone(),
                servers: addresses(&settings.listen),
            },
            u32::try_from(Timestamp::now().as_second()).unwrap_or_default(),
        ));
        let forwarder = Arc::new(Forwarder::new(&upstreams, numbers.clone()));
        let answerer = Answerer { zone: zone.clone(), forwarder };
        let server = Arc::new(Server::new(answerer, access.clone(), numbers.clone()));
        let mut tasks = JoinSet::new();
        for addr in &settings.listen {
            tasks.spawn(server.clone().serve(*addr));
        }
        let Settings { domain, name_server, listen, .. } = settings;
        let system = System { ours: listen, found: upstreams.clone() };
        let system = settings.upstreams.is_none().then(|| Arc::new(system));
        let writer = Writer::new(zone);
        if upstreams.is_empty() {
            server.set_problem(UPSTREAM, Some(alone()));
        }
        let place = Place::default();
        Self {
            server,
            access,
            numbers,
            system,
            writer,
            domain,
            name_server,
            place,
            upstreams,
            tasks,
        }
    }

    /// From now on every answer at an address where it stands for a Service is `told`.
    pub fn prove(&mut self, told: impl Fn(IpAddr) + Clone + Send + 'static) {
        for addr in self.name_server.iter().flat_map(|own| &own.addrs) {
            let (addr, told) = (*addr, told.clone());
            let told = move || told(addr.ip());
            self.tasks.spawn(heartbeat::follow(addr, self.domain.clone(), told));
        }
    }

    /// For the agent's loop.
    pub fn handle(&self) -> Handle {
        let Self { server, access, numbers, system, .. } = self;
        let (server, access, numbers) = (server.clone(), access.clone(), numbers.clone());
        Handle { server, access, numbers, system: system.clone() }
    }

    /// Takes changes in and hands them on in their order, until nobody tells or nobody listens any
    /// more. It does not wait for whoever listens, unless that one is [`MOST_BEHIND`] changes behind.
    pub async fn run(mut self, mut changes: Receiver<Change>, onward: Sender<Change>) {
        let (mut behind, mut is_told) = (VecDeque::new(), true);
        while is_told || !behind.is_empty() {
            tokio::select! {
                change = changes.recv(), if is_told && behind.len() < MOST_BEHIND => match change {
                    Some(change) => {
                        self.take_in(&change);
                        behind.push_back(change);
                    }
                    None => is_told = false,
                },
                place = onward.reserve(), if !behind.is_empty() => match (place, behind.pop_front()) {
                    (Ok(place), Some(change)) => place.send(change),
                    (Ok(_), None) => {}
                    (Err(_), _) => break,
                },
            }
        }
        self.tasks.abort_all();
    }

    fn take_in(&mut self, change: &Change) {
        match change {
            Change::Node(node) => self.access.set_pods(node.pod_cidrs.clone()),
            // The Node would have been among what existed.
            Change::Synced => {
                self.access.set_complete();
                self.place.complete = true;
                self.judge_place();
            }
            Change::Service(name, service) => self.see(name, service.as_deref()),
            Change::Slice(..) | Change::Watched(..) | Change::Problems(_) => {}
        }
        self.writer.take_in(change);
    }

    /// A Service that may be the one that this stands for.
    fn see(&mut self, name: &ObjectName, service: Option<&Service>) {
        if self.name_server.as_ref().is_some_and(|own| own.service == *name) {
            self.place.addresses = service.map(asked_at).unwrap_or_default();
            self.judge_place();
        }
    }

    /// Whether clients can be led here from the Service, and whether this would lead to itself from
    /// there.
    fn judge_place(&self) {
        let Some(NameServer { service, .. }) = &self.name_server else { return };
        let Place { addresses, complete } = &self.place;
        let missing = addresses.is_empty() && *complete;
        self.server.set_problem(SERVICE, missing.then(|| nowhere(service)));
        for upstream in &self.upstreams {
            let problem = addresses.contains(&upstream.ip()).then(|| loops(service, *upstream));
            self.server.set_problem(upstream, problem);
        }
    }
}

/// Flags, as problems are with them.
const UPSTREAM: &str = "--dns-upstream";
const SERVICE: &str = "--dns-service";

/// Where clients ask a Service for names.
fn asked_at(service: &Service) -> Vec<IpAddr> {
    let is_asked = service.ports.iter().any(|port| port.port == NameServer::PORT);
    let addresses = service.cluster_ips.iter().filter(|_| is_asked);
    addresses.copied().collect()
}

fn loops(name: &ObjectName, upstream: SocketAddr) -> Problem {
    let message = format!(
        "{upstream} is Service {name}, whose place this agent takes (--dns-service): it would ask \
         itself, and names outside of the cluster are not found; name the servers behind it"
    );
    problem(UPSTREAM, message)
}

fn alone() -> Problem {
    let message = "there is nobody to ask: names outside of the cluster are refused; name servers, \
                   or let /etc/resolv.conf name some that are not this agent";
    problem(UPSTREAM, message.to_owned())
}

fn nowhere(service: &ObjectName) -> Problem {
    let message = format!(
        "Service {service} does not exist, or has no ClusterIP with port {}: clients are not led here",
        NameServer::PORT
    );
    problem(SERVICE, message)
}

fn problem(flag: &str, message: String) -> Problem {
    Problem { subject: flag.to_owned(), field: String::new(), message }
}

impl Handle {
    /// Addresses that could not be opened when they were tried last.
    pub fn problems(&self) -> Vec<Problem> {
        self.server.problems()
    }

    /// Whether the system names other upstreams now. Nobody, as while the file is written, is none.
    pub fn has_other_upstreams(&self) -> bool {
        self.system.as_ref().is_some_and(|system| {
            let now = resolv::upstreams(&system.ours, &mut |_| ());
            !now.is_empty() && now != system.found
        })
    }

    /// Who may ask.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What is counted.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }
}

/// A name server without sockets and upstreams, for whoever tries packets on it.
#[derive(Debug)]
pub struct Deaf(Server);

impl Deaf {
    /// It knows what follows from these changes, in the domain `cluster.local`.
    pub fn new(changes: impl IntoIterator<Item = Change>) -> Self {
        let domain = name::name(["cluster", "local"]).unwrap_or_default();
        let settings = zone::Settings { domain, ttl: 5, ranges: Vec::new(), servers: Vec::new() };
        let zone = Arc::new(Zone::new(settings, 0));
        let mut writer = Writer::new(zone.clone());
        for change in changes.into_iter().chain([Change::Synced]) {
            writer.take_in(&change);
        }
        let numbers = Numbers::new(&[]);
        let forwarder = Arc::new(Forwarder::new(&[], numbers.clone()));
        Self(Server::new(Answerer { zone, forwarder }, Access::default(), numbers))
    }

    /// What is sent back to a process of the node for a packet, if anything is.
    pub fn answer(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        match self.0.step(packet, Ipv4Addr::LOCALHOST.into(), transport) {
            Step::Send(answer) => Some(answer),
            // There is nobody to wait for.
            Step::Silent | Step::Wait(_) => None,
        }
    }
}

/// Whom to ask, and a word if it is nobody.
fn upstreams(settings: &Settings) -> Vec<SocketAddr> {
    let found = match &settings.upstreams {
        Some(named) => resolv::without(named.iter().copied(), &settings.listen),
        None => resolv::upstreams(&settings.listen, &mut |line| {
            tracing::warn!("DNS: no upstream by this line of resolv.conf: {line}");
        }),
    };
    tracing::info!(?found, "DNS: upstreams");
    found
}

/// Addresses that others can reach this server at.
fn addresses(listen: &[SocketAddr]) -> Vec<IpAddr> {
    let addresses = listen.iter().map(SocketAddr::ip);
    addresses.filter(|address| !address.is_unspecified() && !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests;
