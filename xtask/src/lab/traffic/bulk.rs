//! `xtask lab bulk`: one large transfer there and back, every byte checked.

use super::serve::{ALL_RIGHT, receive, send};
use super::{print, runtime};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How much, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of a server for large transfers
    #[arg(long)]
    pub to: SocketAddr,
    /// Bytes in each direction
    #[arg(long, default_value_t = 100_000_000)]
    pub bytes: u64,
    /// Milliseconds that each direction may take
    #[arg(long, default_value_t = TIMEOUT_MS)]
    pub timeout_ms: u64,
}

/// Long enough for a hundred megabytes on a busy machine, and shorter than the lab's own patience.
const TIMEOUT_MS: u64 = 25_000;

impl Options {
    /// So many bytes there and back.
    pub fn to(to: SocketAddr, bytes: u64) -> Self {
        Self { to, bytes, timeout_ms: TIMEOUT_MS }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { to, bytes, timeout_ms } = self;
        vec![format!("--to={to}"), format!("--bytes={bytes}"), format!("--timeout-ms={timeout_ms}")]
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
    let Options { to, bytes, timeout_ms } = *options;
    let patience = Duration::from_millis(timeout_ms);
    let stream = timeout(patience, TcpStream::connect(to)).await;
    let mut stream =
        stream.map_err(io::Error::from).flatten().with_context(|| format!("connecting to {to}"))?;
    let started = Instant::now();
    timeout(patience, there(&mut stream, bytes)).await.context("on the way there")??;
    let there_ms = milliseconds(started);
    let started = Instant::now();
    timeout(patience, back(&mut stream, bytes)).await.context("on the way back")??;
    Ok(Report { bytes, there_ms, back_ms: milliseconds(started) })
}

async fn there(stream: &mut TcpStream, bytes: u64) -> Result<()> {
    stream.write_u64(bytes).await.context("sending the length")?;
    send(stream, bytes).await.context("sending")?;
    let wrong = stream.read_u64().await.context("waiting for the server's word")?;
    if wrong != ALL_RIGHT {
        bail!("the server got a wrong byte at offset {wrong}");
    }
    Ok(())
}

async fn back(stream: &mut TcpStream, bytes: u64) -> Result<()> {
    if let Some(wrong) = receive(stream, bytes).await.context("receiving")? {
        bail!("a wrong byte came back at offset {wrong}");
    }
    Ok(())
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
