//! Answers at health check node ports: whether a load balancer in front of the cluster may send
//! to this node.
//!
//! `compile::health` says what is told of which Service; here are the sockets. Whoever owns the
//! server owns the runtime that drives it, and the sockets belong to the network namespace of the
//! thread that calls [`Server::apply`]; there is no other state. kube-proxy's answers are the
//! reference (`pkg/proxy/healthcheck/service_health.go`). How clients are served, and how many, is
//! `http`'s business.

/// What is answered.
mod answer;

use crate::compile::Family;
use crate::compile::health::Check;
use crate::http::{Clients, Listener};
use crate::model::{ObjectName, Problem};
use answer::Facts;
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;

/// How many clients all sockets together serve at a time.
const MOST_CLIENTS: usize = 256;

/// Sockets at the health check node ports of all Services.
#[derive(Debug)]
pub struct Server {
    runtime: Handle,
    addrs: BTreeSet<IpAddr>,
    healthy: Arc<AtomicBool>,
    clients: Clients,
    listeners: BTreeMap<Place, (Arc<Facts>, Listener)>,
    problems: Vec<Problem>,
}

/// Where a Service is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    service: ObjectName,
    addr: SocketAddr,
}

impl Server {
    /// A server that listens nowhere yet; its clients are served by `runtime`. The proxy counts as
    /// healthy, and every address of the node is listened at.
    pub fn new(runtime: Handle) -> Self {
        let whole = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        Self {
            runtime,
            addrs: whole.into(),
            healthy: Arc::new(AtomicBool::new(true)),
            clients: Clients::at_most(MOST_CLIENTS),
            listeners: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Sets the node's addresses to listen at; they hold from the next [`Server::apply`] on.
    pub fn set_addrs(&mut self, addrs: BTreeSet<IpAddr>) {
        self.addrs = addrs;
    }

    /// Says whether the proxy itself can do its work; it holds at once.
    pub fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
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

    /// The ports that could not be opened when they were tried last.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Where is listened, and how many endpoints are told there.
    fn places(&self, checks: &BTreeMap<ObjectName, Check>) -> BTreeMap<Place, usize> {
        let mut places = BTreeMap::new();
        for (service, check) in checks {
            for ip in &self.addrs {
                if let Some(count) = check.local_endpoints.get(&Family::of((*ip).into())) {
                    let addr = SocketAddr::new(*ip, check.port);
                    places.insert(Place { service: service.clone(), addr }, *count);
                }
            }
        }
        places
    }

    fn open(&mut self, place: &Place, local_endpoints: usize) -> io::Result<()> {
        let facts = Facts::new(place.service.clone(), local_endpoints, self.healthy.clone());
        let facts = Arc::new(facts);
        let told = facts.clone();
        let answer = move |_| ready(told.answer());
        let listener = Listener::open(place.addr, &self.runtime, &self.clients, answer)?;
        self.listeners.insert(place.clone(), (facts, listener));
        Ok(())
    }
}

fn not_open(place: &Place, error: &io::Error) -> Problem {
    Problem {
        subject: format!("Service {}", place.service),
        field: "spec.healthCheckNodePort".to_owned(),
        message: format!("nobody answers at {} ({error}); it is tried again", place.addr),
    }
}
