//! Asks once what a probe asks: the effects of the kubelet's `pkg/probe`.
//!
//! Whatever answers cannot keep the agent busy: everything ends at the probe's timeout, of answers
//! and output no more than [`MOST_BYTES`] is read, and nothing of them is kept but a reason.

mod tcp;
mod http;
mod tls;
mod grpc;
mod exec;

use super::probe::{Check, Place, Probe};
use std::fmt;
use std::time::Duration;

/// Bytes of an answer or of a command's output that are read.
const MOST_BYTES: usize = 10 << 10;
/// By it servers know a probe; the version is the one whose rules are followed.
const USER_AGENT: &str = "kube-probe/1.36";
/// A check that cannot be made is tried so often at once.
const TRIES: u32 = 3;

/// What a check shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Ready.
    Success,
    /// Not ready, for this reason.
    Failure(String),
    /// Nothing: it could not be made, for this reason.
    Void(String),
}

/// Asks; what cannot be made is tried again.
pub(super) async fn check(probe: &Probe) -> Outcome {
    let mut outcome = once(probe).await;
    for _ in 1..TRIES {
        if !matches!(outcome, Outcome::Void(_)) {
            break;
        }
        outcome = once(probe).await;
    }
    outcome
}

async fn once(probe: &Probe) -> Outcome {
    match &probe.check {
        Check::Http(get) => http::check(get, probe.timeout).await,
        Check::Tcp(place) => tcp::check(place, probe.timeout).await,
        Check::Grpc(place, service) => grpc::check(place, service, probe.timeout).await,
        Check::Exec(command) => exec::check(command, probe.timeout).await,
    }
}

/// The reason when time is up.
fn too_slow(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs())
}

/// As in a URL and a `Host` header: an IPv6 address is in brackets.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
