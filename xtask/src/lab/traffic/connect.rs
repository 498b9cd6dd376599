//! `xtask lab connect`: many short connections, and who answered them.

use super::datagram::Conversation;
use super::{Info, http, print, runtime};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What to connect to, how often and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port
    #[arg(long)]
    pub to: SocketAddr,
    /// How many connections
    #[arg(long, default_value_t = 1)]
    pub count: u32,
    /// How many at a time
    #[arg(long, default_value_t = 1)]
    pub parallel: u32,
    /// UDP from a connected socket
    #[arg(long)]
    pub udp: bool,
    /// UDP from a socket that is not connected
    #[arg(long)]
    pub datagram: bool,
    /// Bytes of a UDP payload
    #[arg(long, default_value_t = 32)]
    pub size: usize,
    /// Own address
    #[arg(long)]
    pub from: Option<IpAddr>,
    /// Own port, every time
    #[arg(long)]
    pub from_port: Option<u16>,
    /// Own ports, one after the other and round again: FIRST-LAST
    #[arg(long, conflicts_with = "from_port", value_name = "FIRST-LAST")]
    pub from_ports: Option<Ports>,
    /// Milliseconds that one answer may take
    #[arg(long, default_value_t = 2000)]
    pub timeout_ms: u64,
    /// Open so many a second until standard input is closed, whatever the count
    #[arg(long)]
    pub rate: Option<u32>,
    /// Stop after so many failures
    #[arg(long)]
    pub give_up: Option<u32>,
}

/// Ports that are used in turn.
///
/// A kernel that is left to choose looks through its ports for one that is free. Those of closed
/// connections are not for a minute (`TIME_WAIT`), and a client that opens hundreds a second comes
/// to spend whole seconds of processor time on the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// From `first` to `last`, both included.
    pub fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// All of them, for ever. With a rate, the clock says where to begin: so a client goes on
    /// where the one before it ended.
    fn in_turn(self, rate: Option<u32>) -> impl Iterator<Item = u16> {
        let ports = self.first..=self.last;
        let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let used = passed.as_secs() * u64::from(rate.unwrap_or(0));
        let begin = usize::try_from(used % ports.len() as u64).unwrap_or(0);
        ports.cycle().skip(begin)
    }
}

impl FromStr for Ports {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, last) = text.split_once('-').context("as FIRST-LAST")?;
        let ports = Self { first: first.parse()?, last: last.parse()? };
        ensure!(ports.first != 0 && ports.first <= ports.last, "the first is above the last, or 0");
        Ok(ports)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Options {
    /// One TCP connection.
    pub fn to(to: SocketAddr) -> Self {
        Self {
            to,
            count: 1,
            parallel: 1,
            udp: false,
            datagram: false,
            size: 32,
            from: None,
            from_port: None,
            from_ports: None,
            timeout_ms: 2000,
            rate: None,
            give_up: None,
        }
    }

    /// How many connections.
    #[must_use]
    pub fn count(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// How many at a time.
    #[must_use]
    pub fn parallel(self, parallel: u32) -> Self {
        Self { parallel, ..self }
    }

    /// Stops after so many failures.
    #[must_use]
    pub fn give_up(self, failures: u32) -> Self {
        Self { give_up: Some(failures), ..self }
    }

    /// The time that it takes if nobody answers.
    pub(super) fn longest(&self) -> Duration {
        let rounds = self.count.div_ceil(self.parallel.max(1));
        Duration::from_millis(self.timeout_ms).saturating_mul(rounds)
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self { to, count, parallel, size, timeout_ms, .. } = self;
        let mut arguments = vec![
            format!("--to={to}"),
            format!("--count={count}"),
            format!("--parallel={parallel}"),
            format!("--size={size}"),
            format!("--timeout-ms={timeout_ms}"),
        ];
        arguments.extend(self.udp.then(|| "--udp".to_owned()));
        arguments.extend(self.datagram.then(|| "--datagram".to_owned()));
        arguments.extend(self.from.map(|from| format!("--from={from}")));
        arguments.extend(self.rate.map(|rate| format!("--rate={rate}")));
        arguments.extend(self.give_up.map(|failures| format!("--give-up={failures}")));
        arguments.extend(self.from_port.map(|port| format!("--from-port={port}")));
        arguments.extend(self.from_ports.map(|ports| format!("--from-ports={ports}")));
        arguments
    }

    /// The same, each with the next of its ports.
    fn in_turn(&self) -> impl Iterator<Item = Self> {
        let mut ports = self.from_ports.map(|ports| ports.in_turn(self.rate));
        std::iter::repeat_with(move || {
            let next = ports.as_mut().and_then(Iterator::next);
            Self { from_port: next.or(self.from_port), ..self.clone() }
        })
    }

    /// Where to bind to, if it matters.
    fn own(&self) -> Option<SocketAddr> {
        let any: IpAddr = match self.to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let asked = self.from.is_some() || self.from_port.is_some();
        asked.then(|| SocketAddr::new(self.from.unwrap_or(any), self.from_port.unwrap_or(0)))
    }
}

/// What a server said, and who the client's socket says it came from.
struct Answer {
    info: Info,
    peer: SocketAddr,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Answers by the server's name.
    pub replies: BTreeMap<String, u32>,
    /// Failures by kind, in the words of `std::io::ErrorKind`.
    pub errors: BTreeMap<String, u32>,
    /// Where the servers saw this client.
    pub seen_as: BTreeSet<IpAddr>,
    /// Where the servers were reached: behind the address that was asked for.
    pub reached: BTreeSet<SocketAddr>,
    /// What the client's own sockets say they are connected to.
    pub peers: BTreeSet<SocketAddr>,
    /// Microseconds that half of the answers took at most, connecting included.
    pub median_us: u32,
    /// The same for 99 of 100.
    pub p99_us: u32,
    /// The same for all.
    pub max_us: u32,
}

impl Report {
    /// Answers of all servers.
    pub fn replies_len(&self) -> u32 {
        self.replies.values().sum()
    }

    /// Failures of all kinds.
    pub fn errors_len(&self) -> u32 {
        self.errors.values().sum()
    }

    /// The only server that answered, if there was one and nothing failed.
    pub fn only(&self) -> Option<&str> {
        match self.replies.keys().collect::<Vec<_>>().as_slice() {
            [name] if self.errors.is_empty() => Some(name),
            _ => None,
        }
    }

    fn add(&mut self, answer: io::Result<Answer>) {
        match answer {
            Ok(Answer { info, peer }) => {
                *self.replies.entry(info.name).or_default() += 1;
                self.seen_as.insert(info.client.ip());
                self.reached.insert(info.local);
                self.peers.insert(peer);
            }
            Err(error) => *self.errors.entry(error.kind().to_string()).or_default() += 1,
        }
    }

    fn time(&mut self, mut times: Vec<u32>) {
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len().max(1) - 1) * percent / 100).copied();
        self.median_us = at(50).unwrap_or(0);
        self.p99_us = at(99).unwrap_or(0);
        self.max_us = at(100).unwrap_or(0);
    }
}

/// Connects, and prints the report.
pub fn run(options: &Options) -> Result<()> {
    print(&runtime()?.block_on(all(options))?)
}

async fn all(options: &Options) -> Result<Report> {
    let mut tally = Tally::default();
    match options.rate {
        Some(rate) => steadily(options, rate, &mut tally).await?,
        None => at_once(options, &mut tally).await?,
    }
    tally.report.time(tally.times);
    Ok(tally.report)
}

/// Opens as many as are asked for, as fast as they are answered.
async fn at_once(options: &Options, tally: &mut Tally) -> Result<()> {
    let mut under_way = JoinSet::new();
    let mut left = options.in_turn().take(options.count as usize);
    loop {
        while under_way.len() < options.parallel as usize
            && let Some(next) = left.next()
        {
            under_way.spawn(timed(next));
        }
        let Some(done) = under_way.join_next().await else {
            return Ok(());
        };
        tally.add(done.context("waiting for a connection")?);
        if options.give_up.is_some_and(|failures| tally.report.errors_len() >= failures) {
            return Ok(());
        }
    }
}

/// Opens some a second until standard input is closed; those under way are waited for.
async fn steadily(options: &Options, rate: u32, tally: &mut Tally) -> Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    let parallel = options.parallel as usize;
    let mut closed = pin!(super::input_closed());
    let mut under_way = JoinSet::new();
    let mut options = options.in_turn();
    loop {
        tokio::select! {
            _ = ticks.tick(), if under_way.len() < parallel => {
                if let Some(next) = options.next() {
                    under_way.spawn(timed(next));
                }
            }
            Some(done) = under_way.join_next() => {
                tally.add(done.context("waiting for a connection")?);
            }
            () = &mut closed => break,
        }
    }
    while let Some(done) = under_way.join_next().await {
        tally.add(done.context("waiting for a connection")?);
    }
    Ok(())
}

/// What came of the connections so far.
#[derive(Default)]
struct Tally {
    report: Report,
    /// Of those that were answered, in microseconds.
    times: Vec<u32>,
}

impl Tally {
    fn add(&mut self, (answer, elapsed): (io::Result<Answer>, Duration)) {
        if answer.is_ok() {
            self.times.push(u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX));
        }
        self.report.add(answer);
    }
}

async fn timed(options: Options) -> (io::Result<Answer>, Duration) {
    let started = Instant::now();
    let patience = Duration::from_millis(options.timeout_ms);
    let answer = timeout(patience, one(&options)).await;
    (answer.unwrap_or_else(|late| Err(late.into())), started.elapsed())
}

async fn one(options: &Options) -> io::Result<Answer> {
    if options.udp || options.datagram {
        return datagram(options).await;
    }
    let stream = dial(options).await?;
    // Asked for before the answer: a server that closes takes the name with it.
    let peer = stream.peer_addr()?;
    Ok(Answer { info: http::Connection::new(stream).info().await?, peer })
}

async fn dial(options: &Options) -> io::Result<TcpStream> {
    let Some(own) = options.own() else {
        return TcpStream::connect(options.to).await;
    };
    let socket = if own.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    if options.from_ports.is_none() {
        // Closed by a reset: a fixed port must be free again for the next connection.
        socket.set_zero_linger()?;
    }
    socket.bind(own)?;
    socket.connect(options.to).await
}

async fn datagram(options: &Options) -> io::Result<Answer> {
    let socket = Conversation::open(options.to, options.own(), options.udp).await?;
    let info = socket.ask(&vec![b'x'; options.size]).await?;
    Ok(Answer { info, peer: socket.peer()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_rank() {
        let mut report = Report::default();
        report.time((1..=1000).rev().collect());
        assert_eq!((report.median_us, report.p99_us, report.max_us), (500, 990, 1000));
        report.time(Vec::new());
        assert_eq!(report.max_us, 0);
    }

    #[test]
    fn ports_are_used_in_turn() {
        let options = |ports: &str| {
            let to = SocketAddr::from(([127, 0, 0, 1], 80));
            Options { from_ports: Some(ports.parse().unwrap()), ..Options::to(to) }
        };
        let used =
            |ports| options(ports).in_turn().take(4).filter_map(|one| one.from_port).collect();
        let used: Vec<Vec<u16>> = ["7-9", "65535-65535"].map(used).into();
        assert_eq!(used, [vec![7, 8, 9, 7], vec![65535; 4]]);
        for wrong in ["9-7", "0-7", "7", "7-65536", "-"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
        assert_eq!(Ports::new(7, 9), Ports::new(7, 9).to_string().parse().unwrap());
    }

    #[test]
    fn only_one_server_without_a_failure_is_the_only_one() {
        let mut report = Report::default();
        report.replies.insert("kubia-1".into(), 3);
        assert_eq!(report.only(), Some("kubia-1"));
        report.errors.insert("timed out".into(), 1);
        assert_eq!(report.only(), None);
    }
}
