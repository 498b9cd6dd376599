//! What a probe asks, as plain values: names resolved, defaults applied.

use super::threshold::Thresholds;
use std::path::PathBuf;
use std::time::Duration;

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// What is asked.
    pub(crate) check: Check,
    /// `initialDelaySeconds`: nothing is asked before.
    pub(crate) initial_delay: Duration,
    /// `periodSeconds`, a second or more.
    pub(crate) period: Duration,
    /// `timeoutSeconds`, a second or more.
    pub(crate) timeout: Duration,
    /// `successThreshold`, `failureThreshold`.
    pub(crate) thresholds: Thresholds,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// `httpGet`.
    Http(HttpGet),
    /// `tcpSocket`: whether somebody accepts connections.
    Tcp(Place),
    /// `grpc`: `grpc.health.v1.Health/Check` of this service, without TLS.
    Grpc(Place, String),
    /// `exec`.
    Exec(Command),
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// An address without brackets, or a name.
    pub(crate) host: String,
    /// 1 to 65535.
    pub(crate) port: u16,
}

/// `httpGet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpGet {
    /// Over TLS, whoever signed the certificate.
    pub(crate) tls: bool,
    /// Whom to ask.
    pub(crate) place: Place,
    /// Path and query, beginning with a slash.
    pub(crate) path: String,
    /// Names and values that HTTP can carry.
    pub(crate) headers: Vec<(String, String)>,
}

/// `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// Program and arguments; no shell is between.
    pub(crate) line: Vec<String>,
    /// All of its environment but `PATH`.
    pub(crate) environment: Vec<(String, String)>,
    /// The file of the network namespace it runs in; `None`: the agent's.
    pub(crate) netns: Option<PathBuf>,
}
