//! `tcpSocket`: somebody accepts connections.

use super::{Outcome, too_slow};
use crate::source::kubelet::probe::Place;
use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects, and hangs up.
pub(super) async fn check(place: &Place, patience: Duration) -> Outcome {
    match timeout(patience, connect(place)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(format!("{error:#}")),
        Err(_) => Outcome::Failure(too_slow(patience)),
    }
}

/// A connection to `place`, from the agent's network namespace.
pub(super) async fn connect(place: &Place) -> Result<TcpStream> {
    let stream = TcpStream::connect((place.host.as_str(), place.port)).await;
    stream.with_context(|| format!("connecting to {place}"))
}
