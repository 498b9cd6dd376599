//! `xtask lab ask`: DNS questions, so many a second, and who answers them.

use super::{Info, READY, print, runtime};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// More than any answer here.
const BUFFER: usize = 4096;
/// The number of every question.
const ID: [u8; 2] = [0x12, 0x34];

/// What to ask, whom, and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address and port of a name server
    #[arg(long)]
    pub to: SocketAddr,
    /// Whose IPv4 address is asked for
    #[arg(long)]
    pub name: String,
    /// How many ask at a time
    #[arg(long, default_value_t = 1)]
    pub clients: u32,
    /// Milliseconds from one question of a client to the next
    #[arg(long, default_value_t = 4)]
    pub pause_ms: u64,
    /// Milliseconds that an answer may take before it counts as lost
    #[arg(long, default_value_t = 1000)]
    pub timeout_ms: u64,
    /// Ask from one socket all the time; default: from a connected one of its own each time
    #[arg(long)]
    pub same: bool,
}

impl Options {
    /// One client that asks for `name` 250 times a second.
    pub fn new(to: SocketAddr, name: &str) -> Self {
        let name = name.to_owned();
        Self { to, name, clients: 1, pause_ms: 4, timeout_ms: 1000, same: false }
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let Self { to, name, clients, pause_ms, timeout_ms, same } = self;
        let mut arguments = vec![
            format!("--to={to}"),
            format!("--name={name}"),
            format!("--clients={clients}"),
            format!("--pause-ms={pause_ms}"),
            format!("--timeout-ms={timeout_ms}"),
        ];
        arguments.extend(same.then(|| "--same".to_owned()));
        arguments
    }
}

/// What came of the questions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Answers, by the name of a server of ours, or by code (`NOERROR` and its kin).
    pub answers: BTreeMap<String, u32>,
    /// Questions without an answer, by kind of failure.
    pub lost: BTreeMap<String, u32>,
}

impl Report {
    /// How many questions were asked.
    pub fn asked(&self) -> u32 {
        self.answers.values().chain(self.lost.values()).sum()
    }

    fn add(&mut self, answer: io::Result<String>) {
        let (counts, kind) = match answer {
            Ok(by) => (&mut self.answers, by),
            Err(error) => (&mut self.lost, error.kind().to_string()),
        };
        *counts.entry(kind).or_default() += 1;
    }

    fn join(&mut self, other: Self) {
        for (all, counts) in [(&mut self.answers, other.answers), (&mut self.lost, other.lost)] {
            for (kind, count) in counts {
                *all.entry(kind).or_default() += count;
            }
        }
    }
}

/// Asks until standard input is closed, and prints the report.
pub fn run(options: &Options) -> Result<()> {
    print(&runtime()?.block_on(all(options))?)
}

async fn all(options: &Options) -> Result<Report> {
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for _ in 0..options.clients {
        clients.spawn(client(options.clone(), stopped.clone()));
    }
    println!("{READY}");
    super::input_closed().await;
    stop.send_replace(true);
    let mut report = Report::default();
    while let Some(one) = clients.join_next().await {
        report.join(one.context("waiting for a client")?.context("opening a socket")?);
    }
    Ok(report)
}

async fn client(options: Options, stopped: watch::Receiver<bool>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut clock = interval(Duration::from_millis(options.pause_ms.max(1)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let patience = Duration::from_millis(options.timeout_ms);
    let question = question(&options.name);
    let kept = socket(options.to).await?;
    while !*stopped.borrow() {
        clock.tick().await;
        let answer = async {
            if options.same {
                ask(&kept, options.to, &question).await
            } else {
                let one = socket(options.to).await?;
                one.connect(options.to).await?;
                ask(&one, options.to, &question).await
            }
        };
        report.add(timeout(patience, answer).await.unwrap_or_else(|late| Err(late.into())));
    }
    Ok(report)
}

async fn socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).await
}

/// Asks, and waits for the answer from whom was asked.
async fn ask(socket: &UdpSocket, to: SocketAddr, question: &[u8]) -> io::Result<String> {
    let mut answer = vec![0; BUFFER];
    if socket.peer_addr().is_ok() {
        socket.send(question).await?;
        let len = socket.recv(&mut answer).await?;
        return answered(answer.get(..len).unwrap_or_default());
    }
    socket.send_to(question, to).await?;
    let (len, from) = socket.recv_from(&mut answer).await?;
    if from != to {
        let kind = io::ErrorKind::AddrNotAvailable;
        return Err(io::Error::new(kind, "answered by another address"));
    }
    answered(answer.get(..len).unwrap_or_default())
}

/// Who answered, or with what.
pub fn answered(answer: &[u8]) -> io::Result<String> {
    /// In the order of their numbers (RFC 1035, 4.1.1).
    const CODES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    match answer {
        [b'{', ..] => {
            let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Ok(serde_json::from_slice::<Info>(line)?.name)
        }
        [high, low, flags, code, ..] if [*high, *low] == ID && flags & 0x80 != 0 => {
            let code = code & 15;
            let name = CODES.get(usize::from(code));
            Ok(name.map_or_else(|| code.to_string(), |name| (*name).to_owned()))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A question for the IPv4 addresses of a name.
pub fn question(name: &str) -> Vec<u8> {
    let mut packet = [&ID[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        // No label of ours is longer than the 63 bytes that one may have.
        packet.extend(u8::try_from(label.len()));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_ours_and_name_servers_are_told_apart() {
        let ours = br#"{"name":"a","client":"192.0.2.1:1","local":"192.0.2.2:2"}"#;
        assert_eq!(answered(&[ours, &b"\n"[..], &question("x.y")].concat()).unwrap(), "a");
        let coded = |code: u8| answered(&[0x12, 0x34, 0x81, 0x80 | code, 0, 1]).unwrap();
        assert_eq!(
            (coded(0).as_str(), coded(3).as_str(), coded(9).as_str()),
            ("NOERROR", "NXDOMAIN", "9")
        );
        assert!(answered(&question("x.y")).is_err(), "a question is no answer");
        assert!(answered(&[0x12, 0x35, 0x81, 0x80]).is_err(), "to another question");
        assert!(answered(b"").is_err());
    }
}
