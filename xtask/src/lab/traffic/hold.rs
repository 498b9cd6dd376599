//! `xtask lab hold`: long connections that ask again and again, and whether they live.
//!
//! A TCP connection that fails is over. A UDP socket goes on, or is opened anew after an error as
//! resolvers do it: what it counts as lost are answers.

use super::datagram::Conversation;
use super::{Info, READY, http, print, runtime};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many are opened at once: a server that is given all of them in an instant lets some wait,
/// and what is held is not what it took to open it.
const AT_ONCE: usize = 64;

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
    /// UDP from connected sockets
    #[arg(long)]
    pub udp: bool,
    /// UDP from sockets that are not connected
    #[arg(long)]
    pub datagram: bool,
    /// After an error (but not for want of an answer), go on with another UDP socket
    #[arg(long)]
    pub reopen: bool,
    /// Stop after so many seconds; default: when standard input is closed
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Stop each after so many answers, whenever that is
    #[arg(long)]
    pub rounds: Option<u32>,
}

impl Options {
    /// 200 connections that ask every 20 ms until told to stop.
    pub fn to(to: SocketAddr) -> Self {
        Self {
            to,
            connections: 200,
            pause_ms: 20,
            timeout_ms: 5000,
            udp: false,
            datagram: false,
            reopen: false,
            seconds: None,
            rounds: None,
        }
    }

    /// How many connections.
    #[must_use]
    pub fn connections(self, connections: u32) -> Self {
        Self { connections, ..self }
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self { to, connections, pause_ms, timeout_ms, .. } = self;
        let mut arguments = vec![
            format!("--to={to}"),
            format!("--connections={connections}"),
            format!("--pause-ms={pause_ms}"),
            format!("--timeout-ms={timeout_ms}"),
        ];
        arguments.extend(self.udp.then(|| "--udp".to_owned()));
        arguments.extend(self.datagram.then(|| "--datagram".to_owned()));
        arguments.extend(self.reopen.then(|| "--reopen".to_owned()));
        arguments.extend(self.seconds.map(|seconds| format!("--seconds={seconds}")));
        arguments.extend(self.rounds.map(|rounds| format!("--rounds={rounds}")));
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
    /// Opened connections that broke later, or UDP answers that did not come, by kind of failure.
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
        for error in line.lost {
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
    lost: Vec<io::Error>,
    moved: u32,
    answers: u32,
    slowest: Duration,
}

impl Line {
    fn new(name: io::Result<String>) -> Self {
        let answers = u32::from(name.is_ok());
        Self { name, lost: Vec::new(), moved: 0, answers, slowest: Duration::ZERO }
    }

    /// Adds an answer of a connection that was opened to `name`.
    fn add(&mut self, info: &Info, name: &str, elapsed: Duration) {
        self.answers += 1;
        self.moved += u32::from(info.name != name);
        self.slowest = self.slowest.max(elapsed);
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
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for _ in 0..options.connections {
        let opening = (turns.clone(), open.clone());
        lines.spawn(line(options.clone(), stopped.clone(), opening));
    }
    drop(open);
    opened.recv().await;
    println!("{READY}");
    tokio::spawn(stop_later(options.clone(), stop));
    let mut report = Report::default();
    while let Some(line) = lines.join_next().await {
        report.add(line.context("waiting for a connection")?);
    }
    Ok(report)
}

async fn stop_later(options: Options, stop: watch::Sender<bool>) {
    match (options.seconds, options.rounds) {
        (Some(seconds), _) => sleep(Duration::from_secs(seconds)).await,
        // They stop by themselves.
        (None, Some(_)) => return,
        (None, None) => super::input_closed().await,
    }
    stop.send_replace(true);
}

async fn line(
    options: Options,
    stopped: watch::Receiver<bool>,
    (turns, open): (Arc<Semaphore>, tokio::sync::mpsc::Sender<()>),
) -> Line {
    let patience = Duration::from_millis(options.timeout_ms);
    let turn = turns.acquire().await;
    let first = timeout(patience, first_answer(&options)).await;
    drop((turn, open));
    let (mut connection, name) = match first.unwrap_or_else(|late| Err(late.into())) {
        Ok(opened) => opened,
        Err(error) => return Line::new(Err(error)),
    };
    let mut line = Line::new(Ok(name.clone()));
    let is_done = |line: &Line| options.rounds.is_some_and(|rounds| line.answers >= rounds);
    while !*stopped.borrow() && !is_done(&line) {
        sleep(Duration::from_millis(options.pause_ms)).await;
        let asked = Instant::now();
        match timeout(patience, connection.info()).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(info) => line.add(&info, &name, asked.elapsed()),
            Err(error) => {
                let broken = error.kind() != io::ErrorKind::TimedOut;
                line.lost.push(error);
                if connection.is_over() {
                    break;
                }
                if options.reopen
                    && broken
                    && let Ok(another) = Connection::open(&options).await
                {
                    connection = another;
                }
            }
        }
    }
    line
}

/// What is kept talking.
enum Connection {
    Tcp(http::Connection),
    Udp(Conversation),
}

impl Connection {
    async fn open(options: &Options) -> io::Result<Self> {
        if options.udp || options.datagram {
            return Ok(Self::Udp(Conversation::open(options.to, None, options.udp).await?));
        }
        Ok(Self::Tcp(http::Connection::new(TcpStream::connect(options.to).await?)))
    }

    async fn info(&mut self) -> io::Result<Info> {
        match self {
            Self::Tcp(connection) => connection.info().await,
            Self::Udp(conversation) => conversation.ask(b"who").await,
        }
    }

    /// Whether nothing can come after a failure.
    fn is_over(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }
}

async fn first_answer(options: &Options) -> io::Result<(Connection, String)> {
    let mut connection = Connection::open(options).await?;
    let name = connection.info().await?.name;
    Ok((connection, name))
}
