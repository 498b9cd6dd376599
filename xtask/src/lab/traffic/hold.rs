//! `xtask lab hold`: long connections that ask again and again, and whether they live.

use super::{READY, http, print, runtime};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What to hold on to.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of an HTTP server
    #[arg(long)]
    pub to: SocketAddr,
    /// How many connections
    #[arg(long, default_value_t = 200)]
    pub connections: u32,
    /// Milliseconds between two requests of a connection
    #[arg(long, default_value_t = 20)]
    pub pause_ms: u64,
    /// Milliseconds that one answer may take before the connection counts as lost
    #[arg(long, default_value_t = 5000)]
    pub timeout_ms: u64,
    /// Stop after so many seconds; default: when standard input is closed
    #[arg(long)]
    pub seconds: Option<u64>,
}

impl Options {
    /// 200 connections that ask every 20 ms until told to stop.
    pub fn to(to: SocketAddr) -> Self {
        Self { to, connections: 200, pause_ms: 20, timeout_ms: 5000, seconds: None }
    }

    /// How many connections.
    #[must_use]
    pub fn connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { to, connections, pause_ms, timeout_ms, seconds } = self;
        let mut arguments = vec![
            format!("--to={to}"),
            format!("--connections={connections}"),
            format!("--pause-ms={pause_ms}"),
            format!("--timeout-ms={timeout_ms}"),
        ];
        arguments.extend(seconds.map(|seconds| format!("--seconds={seconds}")));
        arguments
    }
}

/// How the connections fared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Connections that got a first answer, by the server's name.
    pub opened: BTreeMap<String, u32>,
    /// Connections that did not, by kind of failure.
    pub refused: BTreeMap<String, u32>,
    /// Opened connections that broke later, by kind of failure.
    pub lost: BTreeMap<String, u32>,
    /// Answers that came from another server than the connection's first.
    pub moved: u32,
    /// Answers in all.
    pub answers: u32,
    /// Microseconds that the slowest answer took.
    pub slowest_us: u32,
}

impl Report {
    /// Whether every connection was opened and lived, with its server, to the end.
    pub fn is_whole(&self) -> bool {
        self.refused.is_empty() && self.lost.is_empty() && self.moved == 0
    }

    fn add(&mut self, line: Line) {
        let kind = |error: io::Error| error.kind().to_string();
        match line.name {
            Ok(name) => *self.opened.entry(name).or_default() += 1,
            Err(error) => *self.refused.entry(kind(error)).or_default() += 1,
        }
        if let Some(error) = line.lost {
            *self.lost.entry(kind(error)).or_default() += 1;
        }
        self.moved += line.moved;
        self.answers += line.answers;
        let slowest = u32::try_from(line.slowest.as_micros()).unwrap_or(u32::MAX);
        self.slowest_us = self.slowest_us.max(slowest);
    }
}

/// One connection's fate.
struct Line {
    name: io::Result<String>,
    lost: Option<io::Error>,
    moved: u32,
    answers: u32,
    slowest: Duration,
}

impl Line {
    fn new(name: io::Result<String>) -> Self {
        let answers = u32::from(name.is_ok());
        Self { name, lost: None, moved: 0, answers, slowest: Duration::ZERO }
    }
}

/// Opens the connections, says so, keeps them talking, and prints the report.
pub fn run(options: &Options) -> Result<()> {
    print(&runtime()?.block_on(all(options))?)
}

async fn all(options: &Options) -> Result<Report> {
    let (stop, stopped) = watch::channel(false);
    // Each holds a sender until it has its first answer: all are open when none is left.
    let (open, mut opened) = tokio::sync::mpsc::channel::<()>(1);
    let mut lines = JoinSet::new();
    for _ in 0..options.connections {
        lines.spawn(line(options.clone(), stopped.clone(), open.clone()));
    }
    drop(open);
    opened.recv().await;
    println!("{READY}");
    stop_later(options.seconds, stop);
    let mut report = Report::default();
    while let Some(line) = lines.join_next().await {
        report.add(line.context("waiting for a connection")?);
    }
    Ok(report)
}

fn stop_later(seconds: Option<u64>, stop: watch::Sender<bool>) {
    thread::spawn(move || {
        match seconds {
            Some(seconds) => thread::sleep(Duration::from_secs(seconds)),
            // Read to its end; what is in it does not matter, nor does an error.
            None => drop(io::copy(&mut io::stdin(), &mut io::sink())),
        }
        stop.send_replace(true);
    });
}

async fn line(
    options: Options,
    stopped: watch::Receiver<bool>,
    open: tokio::sync::mpsc::Sender<()>,
) -> Line {
    let patience = Duration::from_millis(options.timeout_ms);
    let first = timeout(patience, open_one(options.to)).await;
    drop(open);
    let (mut connection, name) = match first.unwrap_or_else(|late| Err(late.into())) {
        Ok(opened) => opened,
        Err(error) => return Line::new(Err(error)),
    };
    let mut line = Line::new(Ok(name.clone()));
    while !*stopped.borrow() {
        sleep(Duration::from_millis(options.pause_ms)).await;
        let asked = Instant::now();
        match timeout(patience, connection.info()).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(info) => line.moved += u32::from(info.name != name),
            Err(error) => {
                line.lost = Some(error);
                break;
            }
        }
        line.answers += 1;
        line.slowest = line.slowest.max(asked.elapsed());
    }
    line
}

async fn open_one(to: SocketAddr) -> io::Result<(http::Connection, String)> {
    let mut connection = http::Connection::new(TcpStream::connect(to).await?);
    let name = connection.info().await?.name;
    Ok((connection, name))
}
