//! Servers and clients of our own, so that a lab needs nothing installed.
//!
//! They are hidden verbs of `xtask lab`, run as programs on a host, and the methods of [`Host`]
//! that start them and read what they report.

/// The smallest HTTP/1.1 that two of our own and curl agree on.
mod http;
/// The smallest name server.
pub mod names;
/// Bytes that tell their own place.
mod pattern;
/// UDP sockets that ask.
mod datagram;
/// A server of all kinds.
pub mod serve;
/// Many short connections.
pub mod connect;
/// Some long connections.
pub mod hold;
/// One large transfer.
pub mod bulk;
/// DNS questions.
pub mod ask;

use super::process::{Process, Program};
use super::{Host, runtime};
use crate::workspace;
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a server may take to listen and clients to connect.
const PATIENCE: Duration = Duration::from_secs(20);

/// What servers and `hold` print when others may go on.
pub(crate) const READY: &str = "ready";

/// What a server answers to probes, and prints when that changes.
pub(crate) const TOLD_READY: &str = "told a probe: ready";
/// See [`TOLD_READY`].
pub(crate) const TOLD_UNREADY: &str = "told a probe: not ready";

/// What a server says of itself and of the client it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The server's name.
    pub name: String,
    /// Where the server sees the client.
    pub client: SocketAddr,
    /// Where the server was reached.
    pub local: SocketAddr,
}

impl Host {
    /// Starts a server and waits until it listens.
    pub fn serve(&self, options: &serve::Options) -> Result<Process> {
        let mut server = self.verb("serve", options.arguments())?.spawn()?;
        server.wait_for(READY, PATIENCE)?;
        Ok(server)
    }

    /// Makes connections and counts who answers.
    pub fn connect(&self, options: &connect::Options) -> Result<connect::Report> {
        let client = self.verb("connect", options.arguments())?;
        report(&client.patience(options.longest() + PATIENCE).run()?)
    }

    /// Opens connections and keeps them talking until [`Held::finish`].
    pub fn hold(&self, options: &hold::Options) -> Result<Held> {
        let mut client = self.verb("hold", options.arguments())?.spawn()?;
        client.wait_for(READY, PATIENCE)?;
        Ok(Held(client))
    }

    /// Sends bytes to a server and back, and checks every one of them.
    pub fn bulk(&self, options: &bulk::Options) -> Result<bulk::Report> {
        report(&self.verb("bulk", options.arguments())?.run()?)
    }

    /// Asks a name server until [`Asking::finish`].
    pub fn ask(&self, options: &ask::Options) -> Result<Asking> {
        let mut client = self.verb("ask", options.arguments())?.spawn()?;
        client.wait_for(READY, PATIENCE)?;
        Ok(Asking(client))
    }

    fn verb(&self, verb: &str, arguments: Vec<String>) -> Result<Program> {
        let xtask = workspace::programs()?.join("xtask");
        Ok(self.program(xtask).args(["lab", verb]).args(arguments))
    }
}

/// Connections that are kept talking.
#[derive(Debug)]
pub struct Held(Process);

impl Held {
    /// Stops them; how they fared.
    pub fn finish(self) -> Result<hold::Report> {
        report(&self.0.finish(PATIENCE)?)
    }
}

/// Questions that go on.
#[derive(Debug)]
pub struct Asking(Process);

impl Asking {
    /// Stops them; what came of them.
    pub fn finish(self) -> Result<ask::Report> {
        report(&self.0.finish(PATIENCE)?)
    }
}

/// Waits until nobody can tell us anything any more.
async fn input_closed() {
    let (told, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Read to its end; what is in it does not matter, nor does an error.
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        // Whoever waited may be gone.
        let _ = told.send(());
    });
    let _ = closed.await;
}

/// A client's report: the last line that it printed.
pub(crate) fn report<T: DeserializeOwned>(stdout: &str) -> Result<T> {
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("reading the report {line:?}"))
}

/// Prints a client's report.
fn print<T: Serialize>(report: &T) -> Result<()> {
    let report = serde_json::to_string(report).context("writing the report")?;
    writeln!(std::io::stdout(), "{report}").context("printing the report")
}
