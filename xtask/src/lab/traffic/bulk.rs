//! `xtask lab bulk`: one large transfer there and back, every byte checked.

use super::serve::{ALL_RIGHT, receive, send};
use super::{print, runtime};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of a server for large transfers
    #[arg(long)]
    pub to: SocketAddr,
    /// Bytes in each direction
    #[arg(long, default_value_t = 100_000_000)]
    pub bytes: u64,
}

impl Options {
    pub(super) fn arguments(&self) -> Vec<String> {
        vec![format!("--to={}", self.to), format!("--bytes={}", self.bytes)]
    }
}

/// A transfer that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes in each direction.
    pub bytes: u64,
    /// Milliseconds from the first byte sent to the server's word that all have arrived.
    pub there_ms: u64,
    /// Milliseconds for the way back.
    pub back_ms: u64,
}

/// Transfers, and prints the report; an error if a byte is wrong or missing.
pub fn run(options: &Options) -> Result<()> {
    print(&runtime()?.block_on(transfer(options))?)
}

async fn transfer(options: &Options) -> Result<Report> {
    let Options { to, bytes } = *options;
    let mut stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    let started = Instant::now();
    stream.write_u64(bytes).await.context("sending the length")?;
    send(&mut stream, bytes).await.context("sending")?;
    let wrong = stream.read_u64().await.context("waiting for the server's word")?;
    if wrong != ALL_RIGHT {
        bail!("the server got a wrong byte at offset {wrong}");
    }
    let there_ms = milliseconds(started);
    let started = Instant::now();
    if let Some(wrong) = receive(&mut stream, bytes).await.context("receiving")? {
        bail!("a wrong byte came back at offset {wrong}");
    }
    Ok(Report { bytes, there_ms, back_ms: milliseconds(started) })
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
