//! Names outside of the cluster: from the cache, or from upstreams.
//!
//! A question is under way once, however many ask it: they wait for the same flight. That also
//! ends loops: should an upstream ask us in turn, its question joins the flight that it came from,
//! and all of it ends by time instead of going round.

/// What upstreams have said.
pub(super) mod cache;
/// The system's own list of upstreams.
pub(super) mod resolv;
/// Other servers.
mod upstream;

pub(in crate::dns) use cache::Key;

use super::wire::Reply;
use crate::metrics::dns::{Cached, Numbers};
use cache::{Cache, Found};
use hickory_proto::op::ResponseCode;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;
use upstream::{Tried, Upstream};

/// How many questions are under way at a time.
pub(super) const MOST_FLIGHTS: usize = 1000;
/// How long a client waits for a new answer while there is an old one (RFC 8767, 5).
const STALE_AFTER: Duration = Duration::from_millis(1800);

/// What a flight brought: a reply, or a failure.
type Outcome = Result<Reply, Reply>;

/// What knows names outside of the cluster.
#[derive(Debug)]
pub(super) struct Forwarder {
    upstreams: Vec<Upstream>,
    cache: Cache,
    flights: Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>,
    numbers: Numbers,
}

impl Forwarder {
    pub(super) fn new(upstreams: &[SocketAddr], numbers: Numbers) -> Self {
        let upstreams = upstreams.iter().copied().map(Upstream::new).collect();
        Self { upstreams, cache: Cache::default(), flights: Mutex::default(), numbers }
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_able(&self) -> bool {
        !self.upstreams.is_empty()
    }

    /// What holds by the cache, if it knows.
    pub(super) fn cached(self: &Arc<Self>, key: &Key) -> Option<Reply> {
        match self.cache.get(key, Instant::now()) {
            Found::Fresh(reply, renew) => {
                match renew.then(|| self.flight(key)) {
                    Some(Some(_)) => self.numbers.cache(Cached::Prefetch),
                    Some(None) => self.cache.give_up_renewal(key),
                    None => {}
                }
                let negative = cache::is_negative(&reply, key.kind);
                self.numbers.cache(if negative { Cached::Denial } else { Cached::Success });
                Some(reply)
            }
            Found::Stale(reply, false) => {
                self.numbers.cache(Cached::Stale);
                Some(reply)
            }
            Found::Stale(_, true) | Found::Nothing => None,
        }
    }

    /// What upstreams say; what they said before if they say nothing.
    pub(super) async fn ask(self: &Arc<Self>, key: &Key) -> Reply {
        self.numbers.cache(Cached::Miss);
        let Found::Stale(stale, _) = self.cache.get(key, Instant::now()) else {
            return self.fetch(key).await.unwrap_or_else(|failure| failure);
        };
        if let Ok(Ok(reply)) = timeout(STALE_AFTER, self.fetch(key)).await {
            return reply;
        }
        self.numbers.cache(Cached::Stale);
        stale
    }

    async fn fetch(self: &Arc<Self>, key: &Key) -> Outcome {
        let failed = || Err(Reply::bare(ResponseCode::ServFail));
        let Some(mut flight) = self.flight(key) else { return failed() };
        let landed = flight.wait_for(Option::is_some).await;
        let outcome = landed.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(failed);
        outcome.map(|reply| cache::spelled(reply, key))
    }

    /// The flight that brings this; `None`: there are too many.
    fn flight(self: &Arc<Self>, key: &Key) -> Option<watch::Receiver<Option<Outcome>>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key) {
            return Some(flight.clone());
        }
        if flights.len() >= MOST_FLIGHTS {
            return None;
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        tokio::spawn(self.clone().fly(key.clone(), landing));
        Some(flight)
    }

    /// Not in the client's task: whoever waits may go, and the answer is kept nevertheless.
    async fn fly(self: Arc<Self>, key: Key, landing: watch::Sender<Option<Outcome>>) {
        // Removed even if something below panics: nobody may wait for it for ever.
        let flight = Flight { forwarder: &self, key: &key };
        let note = |Tried { upstream, took, answered }: Tried| {
            self.numbers.forwarded(upstream, took, answered);
        };
        let outcome = upstream::ask(&self.upstreams, &key, note).await;
        let now = Instant::now();
        match &outcome {
            Ok(reply) => self.cache.put(&key, reply, now),
            Err(failure) => self.cache.fail(&key, failure, now),
        }
        self.numbers.set_cache_entries(self.cache.len());
        drop(flight);
        landing.send_replace(Some(outcome));
    }
}

/// A question that is under way, until it is dropped.
struct Flight<'a> {
    forwarder: &'a Forwarder,
    key: &'a Key,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let flights = &self.forwarder.flights;
        flights.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
    }
}
