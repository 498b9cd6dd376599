//! What the name server does, counted where it happens.
//!
//! Cells are laid out beforehand: a question costs a few additions, and nobody who asks for odd
//! types or codes makes more series.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which part of all names a question belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The cluster domain.
    Cluster,
    /// Names of the cluster's addresses.
    Reverse,
    /// What upstreams know.
    Other,
    /// It was not looked at.
    None,
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As a datagram.
    Udp,
    /// By a connection.
    Tcp,
}

/// What the cache was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
    /// Records.
    Success,
    /// That there are none.
    Denial,
    /// Nothing: upstreams were asked.
    Miss,
    /// A reply from before, because upstreams do not say anything.
    Stale,
    /// A reply was renewed before its end.
    Prefetch,
}

pub(super) const PARTS: [&str; 4] = ["cluster", "reverse", "other", "none"];
pub(super) const TRANSPORTS: [&str; 2] = ["udp", "tcp"];
/// Record types that are told apart, as `CoreDNS` does.
pub(super) const KINDS: [(u16, &str); 16] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (43, "DS"),
    (48, "DNSKEY"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (255, "ANY"),
    (0, "other"),
];
pub(super) const CODES: [(u16, &str); 7] = [
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (0xffff, "other"),
];

type Requests = [[[AtomicU64; KINDS.len()]; TRANSPORTS.len()]; PARTS.len()];
type Responses = [[AtomicU64; CODES.len()]; PARTS.len()];

/// The name server's numbers; a clone is the same thing.
#[derive(Clone, Debug)]
pub struct Numbers(Arc<Cells>);

#[derive(Debug)]
pub(super) struct Cells {
    pub(super) requests: Requests,
    pub(super) responses: Responses,
    /// By part.
    pub(super) durations: Vec<Histogram>,
    /// By [`Cached`].
    pub(super) cached: [AtomicU64; 5],
    pub(super) entries: AtomicU64,
    pub(super) upstreams: Vec<Upstream>,
}

/// What is counted of an upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) durations: Histogram,
    pub(super) failures: AtomicU64,
}

impl Cells {
    /// Questions, by part, transport and type.
    pub(super) fn requests(&self) -> impl Iterator<Item = ([&'static str; 3], &AtomicU64)> {
        PARTS.into_iter().zip(&self.requests).flat_map(|(part, cells)| {
            TRANSPORTS.into_iter().zip(cells).flat_map(move |(transport, cells)| {
                let kinds = KINDS.into_iter().zip(cells);
                kinds.map(move |((_, kind), cell)| ([part, transport, kind], cell))
            })
        })
    }

    /// Answers, by part and code.
    pub(super) fn responses(&self) -> impl Iterator<Item = ([&'static str; 2], &AtomicU64)> {
        PARTS.into_iter().zip(&self.responses).flat_map(|(part, cells)| {
            let codes = CODES.into_iter().zip(cells);
            codes.map(move |((_, code), cell)| ([part, code], cell))
        })
    }
}

impl Numbers {
    /// Nothing has happened yet.
    pub fn new(upstreams: &[SocketAddr]) -> Self {
        let upstream = |addr: &SocketAddr| Upstream {
            name: addr.to_string(),
            durations: histogram(),
            failures: AtomicU64::new(0),
        };
        Self(Arc::new(Cells {
            requests: Requests::default(),
            responses: Responses::default(),
            durations: PARTS.iter().map(|_| histogram()).collect(),
            cached: Default::default(),
            entries: AtomicU64::new(0),
            upstreams: upstreams.iter().map(upstream).collect(),
        }))
    }

    pub(super) fn cells(&self) -> &Cells {
        &self.0
    }

    /// A question for records of type `kind` has come.
    pub fn asked(&self, part: Part, transport: Transport, kind: u16) {
        let kind = place(&KINDS, kind);
        let cell =
            self.0.requests.get(part as usize).and_then(|cells| cells.get(transport as usize));
        add(cell.and_then(|cells| cells.get(kind)));
    }

    /// It was answered with this code.
    pub fn answered(&self, part: Part, code: u16, took: Duration) {
        let cells = self.0.responses.get(part as usize);
        add(cells.and_then(|cells| cells.get(place(&CODES, code))));
        if let Some(histogram) = self.0.durations.get(part as usize) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// Something has come that is no question, and was answered with this code.
    pub fn unusable(&self, transport: Transport, code: u16) {
        self.asked(Part::None, transport, 0);
        self.answered(Part::None, code, Duration::ZERO);
    }

    /// The cache was good for this.
    pub fn cache(&self, cached: Cached) {
        add(self.0.cached.get(cached as usize));
    }

    /// So many replies are kept.
    pub fn set_cache_entries(&self, count: usize) {
        self.0.entries.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// An upstream was asked.
    pub fn forwarded(&self, upstream: usize, took: Duration, answered: bool) {
        let Some(upstream) = self.0.upstreams.get(upstream) else { return };
        upstream.durations.observe(took.as_secs_f64());
        if !answered {
            add(Some(&upstream.failures));
        }
    }
}

fn add(cell: Option<&AtomicU64>) {
    if let Some(cell) = cell {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where a number stands; the last place is for all others.
fn place<const N: usize>(known: &[(u16, &str); N], number: u16) -> usize {
    known.iter().position(|(one, _)| *one == number).unwrap_or(N - 1)
}

/// From a sixteenth of a millisecond to four seconds.
fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(1.0 / 16384.0, 2.0, 17))
}
