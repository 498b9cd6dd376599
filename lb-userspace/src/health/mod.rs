//! Answers at health check node ports, and for the node as a whole: whether a load balancer in
//! front of the cluster may send to this node.
//!
//! `compile::health` says what is told of which Service; here are the sockets. Whoever owns the
//! server owns the runtime that drives it, and the sockets belong to the network namespace of the
//! thread that calls [`Server::apply`]; there is no other state. kube-proxy's answers are the
//! reference (`pkg/proxy/healthcheck/service_health.go`). How clients are served, and how many, is
//! `http`'s business.

/// What is answered.
mod answer;
/// What is told, as a file.
pub mod board;
/// The process that outlives the agent.
pub mod process;

use crate::compile::Family;
use crate::compile::health::Check;
use crate::http::{Clients, Listener, Port};
use crate::model::{ObjectName, Problem};
use answer::{Facts, Shared};
use board::Board;
use hyper::Request;
use hyper::body::Incoming;
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::runtime::Handle;

/// How many clients all sockets together serve at a time.
const MOST_CLIENTS: usize = 256;

/// Sockets at the health check node ports of all Services.
#[derive(Debug)]
pub struct Server {
    runtime: Handle,
    addrs: BTreeSet<IpAddr>,
    /// Where the proxy itself is asked about.
    proxy_addrs: Vec<SocketAddr>,
    proxy: Shared,
    clients: Clients,
    listeners: BTreeMap<Place, (Arc<Facts>, Listener)>,
    problems: Vec<Problem>,
}

/// Whether the node may be sent connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The proxy can do its work.
    pub healthy: bool,
    /// The node is not about to go.
    pub node_eligible: bool,
}

/// Where something is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// A Service; `None`: the proxy itself.
    service: Option<ObjectName>,
    addr: SocketAddr,
}

impl Server {
    /// A server that listens nowhere yet; its clients are served by `runtime`. The proxy counts as
    /// healthy, and every address of the node is listened at.
    pub fn new(runtime: Handle) -> Self {
        let whole = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let proxy = Shared::default();
        proxy.set(Proxy { healthy: true, node_eligible: true });
        Self {
            runtime,
            addrs: whole.into(),
            proxy_addrs: Vec::new(),
            proxy,
            clients: Clients::at_most(MOST_CLIENTS),
            listeners: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Sets the node's addresses to listen at; they hold from the next [`Server::apply`] on.
    pub fn set_addrs(&mut self, addrs: BTreeSet<IpAddr>) {
        self.addrs = addrs;
    }

    /// Answers at these addresses for the proxy itself, from the next [`Server::apply`] on.
    #[must_use]
    pub fn with_proxy(self, addrs: Vec<SocketAddr>) -> Self {
        Self { proxy_addrs: addrs, ..self }
    }

    /// Says whether the node may be sent connections; it holds at once.
    pub fn set_proxy(&self, proxy: Proxy) {
        if self.proxy() != proxy {
            self.proxy.set(proxy);
        }
    }

    /// Whether the node may be sent connections.
    pub fn proxy(&self) -> Proxy {
        self.proxy.get()
    }

    /// Opens and closes what has changed, and tells these numbers from now on. Ports that could
    /// not be opened are tried again.
    pub fn apply(&mut self, checks: &BTreeMap<ObjectName, Check>) {
        let wanted = self.places(checks);
        // What closes comes first: its port may be another Service's now.
        self.listeners.retain(|place, _| wanted.contains_key(place));
        self.problems.clear();
        for (place, local_endpoints) in wanted {
            if let Some((facts, _)) = self.listeners.get(&place) {
                facts.set_local_endpoints(local_endpoints);
            } else if let Err(error) = self.open(&place, local_endpoints) {
                self.problems.push(not_open(&place, &error));
            }
        }
    }

    /// Tells what a board says.
    pub fn show(&mut self, board: &Board) {
        self.set_proxy(Proxy { healthy: board.healthy, node_eligible: board.node_eligible });
        self.set_addrs(board.addrs.clone());
        self.apply(&board.checks());
    }

    /// Listens nowhere any more.
    pub fn close(&mut self) {
        self.listeners.clear();
        self.problems.clear();
    }

    /// The ports that could not be opened when they were tried last.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Where is listened, and how many endpoints are told there.
    fn places(&self, checks: &BTreeMap<ObjectName, Check>) -> BTreeMap<Place, usize> {
        let proxy = self.proxy_addrs.iter().map(|addr| (Place { service: None, addr: *addr }, 0));
        let mut places: BTreeMap<Place, usize> = proxy.collect();
        for (service, check) in checks {
            for ip in &self.addrs {
                if let Some(count) = check.local_endpoints.get(&Family::of((*ip).into())) {
                    let addr = SocketAddr::new(*ip, check.port);
                    places.insert(Place { service: Some(service.clone()), addr }, *count);
                }
            }
        }
        places
    }

    fn open(&mut self, place: &Place, local_endpoints: usize) -> io::Result<()> {
        // The kernel would let both listen, and choose between them.
        if self.listeners.keys().any(|open| open.addr == place.addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let facts = match &place.service {
            Some(service) => {
                Facts::about_service(service.clone(), local_endpoints, self.proxy.clone())
            }
            None => Facts::about_proxy(self.proxy.clone()),
        };
        let facts = Arc::new(facts);
        let told = facts.clone();
        let answer = move |asked: Request<Incoming>| ready(told.answer(asked.uri().path()));
        let served = (&self.runtime, &self.clients);
        let listener = Listener::open(place.addr, Port::Shared, served, answer)?;
        self.listeners.insert(place.clone(), (facts, listener));
        Ok(())
    }
}

fn not_open(place: &Place, error: &io::Error) -> Problem {
    let (subject, field) = match &place.service {
        Some(service) => (format!("Service {service}"), "spec.healthCheckNodePort"),
        None => ("--healthz-bind-address".to_owned(), ""),
    };
    Problem {
        subject,
        field: field.to_owned(),
        message: format!("nobody answers at {} ({error}); it is tried again", place.addr),
    }
}
