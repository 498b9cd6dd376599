//! `lbctl trace`: what becomes of a packet on this node, told by the programs themselves.
//!
//! The programs are loaded once more, beside those that serve the node: over the same tables, with
//! flows and counters of their own, on no link. A packet is handed to them where it would come in,
//! and what each stage found out is read from `STEPS`. Nothing is sent, and no map of the node is
//! written. The agent is not asked, so it may be down.

/// Where the packet comes in.
mod entry;
/// The packet through the programs.
mod rehearsal;
/// The call of a process.
mod call;
/// Steps to findings.
mod finding;
/// What became of it.
mod outcome;
/// Answers to text.
mod text;

use super::output::{self, Console, Format, Style};
use super::place::Place;
use super::source::Source;
use crate::model::Protocol;
use crate::probe::frame::Ends;
use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use entry::Entry;
use finding::Finding;
use outcome::Outcome;
use rehearsal::Rehearsal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  lbctl trace --from 10.244.0.20 --to 10.96.0.10:80           a pod asks a Service
  lbctl trace --from 10.244.0.20:41234 --to 10.96.0.10:80     a flow that may exist already
  lbctl trace --from 203.0.113.7 --to 192.0.2.2:30123 --proto udp --in-link eth0
  lbctl trace --from 10.244.0.20 --to 10.96.0.10:80 --count 300   how connections spread

A packet from an address of this node stands for one of its processes, which is served when it connects";

/// The first port that clients use unless one is named.
const FIRST_PORT: u16 = 40_001;
/// Ports below are for root.
const LOWEST_PORT: u16 = 1_024;

/// Tell what becomes of a packet: a SYN, a datagram or an INIT. Nothing is sent
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Who sends it; without a port: a new connection from a free one
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    from: From,
    /// Whom it is aimed at
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Its protocol
    #[arg(long, value_enum, default_value_t)]
    proto: Proto,
    /// The link that it comes in by [default: by the route to its sender]
    #[arg(long, value_name = "NAME")]
    in_link: Option<String>,
    /// Open so many connections, each from a port of its own, and count where they go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    count: Option<u16>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// An address, and a port if it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct From {
    ip: IpAddr,
    port: Option<u16>,
}

impl FromStr for From {
    type Err = anyhow::Error;

    fn from_str(typed: &str) -> Result<Self> {
        if let Ok(socket) = typed.parse::<SocketAddr>() {
            return Ok(Self { ip: socket.ip().to_canonical(), port: Some(socket.port()) });
        }
        let ip = typed.parse::<IpAddr>().map_err(|_| {
            anyhow!("expected an address or ADDRESS:PORT ([ADDRESS]:PORT for IPv6)")
        })?;
        Ok(Self { ip: ip.to_canonical(), port: None })
    }
}

/// The protocols of Services.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Proto {
    /// A SYN
    #[default]
    Tcp,
    /// A datagram
    Udp,
    /// An INIT
    Sctp,
}

impl Proto {
    fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::Tcp,
            Self::Udp => Protocol::Udp,
            Self::Sctp => Protocol::Sctp,
        }
    }
}

/// What became of one packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Answer {
    packet: Packet,
    entry: Entry,
    steps: Vec<Finding>,
    outcome: Outcome,
}

/// A packet as it is seen somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Packet {
    protocol: Protocol,
    from: SocketAddr,
    to: SocketAddr,
}

impl std::convert::From<Ends> for Packet {
    fn from(Ends { protocol, src, dst }: Ends) -> Self {
        Self { protocol, from: src, to: dst }
    }
}

/// What became of the first packets of many connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Spread {
    /// The first of them.
    packet: Packet,
    entry: Entry,
    outcomes: Vec<Counted>,
}

/// What became of some of them alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Counted {
    connections: usize,
    /// Of the first of these.
    outcome: Outcome,
}

/// Asks the programs and shows what they answered.
pub(super) fn run(options: &Options, place: &Place, console: &mut Console<'_>) -> Result<()> {
    let (from, to) = (options.from, canonical(options.to));
    ensure!(
        from.ip.is_ipv4() == to.is_ipv4(),
        "{} and {} are of two address families",
        from.ip,
        to.ip()
    );
    let source = Source::open(place)?;
    let entry = Entry::find(&source, from.ip, options.in_link.as_deref())?;
    let first = from.port.unwrap_or(FIRST_PORT);
    let src = |port| SocketAddr::new(from.ip, port);
    let ends = |port| Ends { protocol: options.proto.protocol(), src: src(port), dst: to };
    let count = usize::from(options.count.unwrap_or(1));
    let mut rehearsal = Rehearsal::prepare(&source, entry, &ends(first), count)?;
    let all = ports(first).map(ends);
    let style = Style { format: options.output, color: console.color };
    let text = match (options.count, from.port) {
        (Some(_), _) => shown(&spread(&mut rehearsal, all, count)?, text::spread, style),
        (None, Some(_)) => shown(&answer(&mut rehearsal, &ends(first))?, text::answer, style),
        (None, None) => {
            let ends = rehearsal.unused(all)?;
            shown(&answer(&mut rehearsal, &ends)?, text::answer, style)
        }
    };
    Ok(write!(console.out, "{}", text?)?)
}

/// The same, in IPv4 if it is an IPv4 address in the clothes of IPv6.
fn canonical(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(socket.ip().to_canonical(), socket.port())
}

/// Every port that clients use, from one on.
fn ports(first: u16) -> impl Iterator<Item = u16> {
    (first..=u16::MAX).chain(LOWEST_PORT..first)
}

fn answer(rehearsal: &mut Rehearsal<'_>, ends: &Ends) -> Result<Answer> {
    let trail = rehearsal.send(ends)?;
    Ok(Answer {
        packet: (*ends).into(),
        entry: rehearsal.entry.clone(),
        steps: finding::findings(&trail, rehearsal)?,
        outcome: Outcome::of(&trail, rehearsal),
    })
}

/// Opens connections from ports that no flow has.
fn spread(
    rehearsal: &mut Rehearsal<'_>,
    mut all: impl Iterator<Item = Ends>,
    count: usize,
) -> Result<Spread> {
    let mut first = None;
    let mut outcomes: BTreeMap<_, Counted> = BTreeMap::new();
    for _ in 0..count {
        let ends = rehearsal.unused(&mut all)?;
        let outcome = Outcome::of(&rehearsal.send(&ends)?, rehearsal);
        let counted = outcomes.entry(outcome.kind());
        counted.or_insert(Counted { connections: 0, outcome }).connections += 1;
        first.get_or_insert(ends);
    }
    let first = first.context("no connection was asked for")?;
    Ok(Spread {
        packet: first.into(),
        entry: rehearsal.entry.clone(),
        outcomes: outcomes.into_values().collect(),
    })
}

fn shown<T: Serialize>(answer: &T, text: fn(&T, Style) -> String, style: Style) -> Result<String> {
    if style.format.is_table() {
        Ok(text(answer, style))
    } else {
        output::document(answer, style.format)
    }
}

#[cfg(test)]
mod tests;
