//! What the agent's loop did, counted where it happens and read by whoever asks.
//!
//! Meaning, names and buckets are kube-proxy's (`pkg/proxy/metrics/metrics.go`).

use crate::compile::Family;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The loop's own numbers; a clone is the same thing.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Numbers>);

#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) services: Changes,
    pub(super) endpoints: Changes,
    pub(super) sync: Histogram,
    /// By family: IPv4, IPv6.
    pub(super) programming: [Histogram; 2],
    pub(super) last_sync: Moment,
    pub(super) last_queued: Moment,
    turn: Mutex<Option<Instant>>,
}

/// Changes of one kind of objects.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) seen: Counter,
    pending: AtomicU64,
}

impl Changes {
    fn note(&self) {
        self.seen.inc();
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }
}

/// A moment, in milliseconds since 1970; 0: never.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    fn set(&self, now: Timestamp) {
        self.0.store(u64::try_from(now.as_millisecond()).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn seconds(&self) -> f64 {
        Duration::from_millis(self.0.load(Ordering::Relaxed)).as_secs_f64()
    }
}

impl Default for Numbers {
    fn default() -> Self {
        let programming = || Histogram::new(programming_buckets());
        Self {
            services: Changes::default(),
            endpoints: Changes::default(),
            sync: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            programming: [programming(), programming()],
            last_sync: Moment::default(),
            last_queued: Moment::default(),
            turn: Mutex::default(),
        }
    }
}

/// A quarter and a half of a second, every second of the first minute, every five of the second,
/// every thirty up to five minutes.
fn programming_buckets() -> impl Iterator<Item = f64> {
    let seconds = (1..60).chain((60..120).step_by(5)).chain((120..=300).step_by(30));
    [0.25, 0.5].into_iter().chain(seconds.map(f64::from))
}

impl Progress {
    pub(super) fn numbers(&self) -> &Numbers {
        &self.0
    }

    /// A Service has changed, and waits to be written.
    pub fn service_changed(&self, now: Timestamp) {
        self.0.services.note();
        self.0.last_queued.set(now);
    }

    /// An `EndpointSlice` has changed, and waits to be written.
    pub fn endpoints_changed(&self, now: Timestamp) {
        self.0.endpoints.note();
        self.0.last_queued.set(now);
    }

    /// A round that took this long is over.
    pub fn written(&self, took: Duration, succeeded: bool, now: Timestamp) {
        self.0.sync.observe(took.as_secs_f64());
        if succeeded {
            self.0.last_sync.set(now);
            self.0.services.pending.store(0, Ordering::Relaxed);
            self.0.endpoints.pending.store(0, Ordering::Relaxed);
        }
    }

    /// A change of endpoints is in the maps, this long after it was caused.
    pub fn programmed(&self, family: Family, after: Duration) {
        let [v4, v6] = &self.0.programming;
        let histogram = if family == Family::V4 { v4 } else { v6 };
        histogram.observe(after.as_secs_f64());
    }

    /// The loop has taken something up; `None`: it waits for the next.
    pub fn set_turn(&self, since: Option<Instant>) {
        *self.0.turn.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Since when the loop has been at the same thing.
    pub fn turn(&self) -> Option<Instant> {
        *self.0.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a round last ended without an error.
    pub fn last_sync(&self) -> Timestamp {
        let millis = i64::try_from(self.0.last_sync.0.load(Ordering::Relaxed)).unwrap_or_default();
        Timestamp::from_millisecond(millis).unwrap_or_default()
    }
}
