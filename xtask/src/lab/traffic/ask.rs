//! `xtask lab ask`: DNS questions, so many a second, and who answers them.

use super::{Info, READY, print, runtime};
use anyhow::{Context, Result};
use hickory_proto::op::{Message, MessageType, Metadata, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
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

/// How the answer of a name server counts that knows.
pub const KNOWN: &str = "NOERROR";

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
    /// Answers, by the name of a server of ours, or by code: [`KNOWN`], or what is wrong.
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
    let question = question(&options.name).map_err(io::Error::other)?;
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
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // A message may begin like one of ours: with any byte of its random identifier.
    if let Ok(ours) = serde_json::from_slice::<Info>(line) {
        return Ok(ours.name);
    }
    let Metadata { message_type, response_code, .. } =
        Message::from_vec(answer).map_err(io::Error::other)?.metadata;
    if message_type != MessageType::Response {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let is_known = response_code == ResponseCode::NoError;
    Ok(if is_known { KNOWN.to_owned() } else { response_code.to_string() })
}

/// A question for the IPv4 addresses of a name.
pub fn question(name: &str) -> Result<Vec<u8>> {
    let name = Name::from_ascii(format!("{name}.")).with_context(|| format!("{name:?}"))?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, RecordType::A));
    question.to_vec().context("writing a question")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_ours_and_name_servers_are_told_apart() {
        let ours = br#"{"name":"a","client":"192.0.2.1:1","local":"192.0.2.2:2"}"#;
        assert_eq!(answered(&[ours, &b"\n"[..], &question("x.y").unwrap()].concat()).unwrap(), "a");
        let coded = |code| {
            let mut answer = Message::from_vec(&question("x.y").unwrap()).unwrap();
            answer.metadata.id = u16::from_be_bytes(*b"{\"");
            answer.metadata.message_type = MessageType::Response;
            answer.metadata.response_code = code;
            answered(&answer.to_vec().unwrap()).unwrap()
        };
        assert_eq!(coded(ResponseCode::NoError), KNOWN);
        assert_ne!(coded(ResponseCode::NXDomain), KNOWN);
        assert_ne!(coded(ResponseCode::NXDomain), coded(ResponseCode::ServFail));
        assert!(answered(&question("x.y").unwrap()).is_err(), "a question is no answer");
        assert!(answered(b"").is_err());
    }
}
