//! Before anything is timed: both servers say the same.

use super::case::{Case, Question};
use super::stage::{Peer, Stage};
use anyhow::{Context, Result, bail, ensure};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// How long servers may take until they know the cluster.
const START: Duration = Duration::from_mins(1);
/// How often it is looked whether they do.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer than any answer without EDNS.
const MOST_BYTES: usize = 512;

/// What a server says, without order and times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    code: ResponseCode,
    /// Name, type and data.
    records: BTreeSet<String>,
}

/// Waits until both know the cluster, then asks both every question of all cases.
///
/// # Errors
/// Their answers to one differ in code or records.
pub(super) fn check(stage: &Stage, cases: &[Case]) -> Result<()> {
    stage.host.within(|| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a socket")?;
        socket.set_read_timeout(Some(PATIENCE)).context("preparing a socket")?;
        for peer in Peer::ALL {
            wait(&socket, peer, cases)?;
        }
        let mut questions = cases.iter().flat_map(|case| &case.questions);
        questions.try_for_each(|question| agree(&socket, question))
    })
}

/// The first question of the first case is about a Service.
fn wait(socket: &UdpSocket, peer: Peer, cases: &[Case]) -> Result<()> {
    let question = cases.iter().find_map(|case| case.questions.first());
    let question = question.context("there are no questions")?;
    let deadline = Instant::now() + START;
    loop {
        let said = ask(socket, peer, question);
        if said.as_ref().is_ok_and(|said| !said.records.is_empty()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{peer} does not know {question} after {START:?}: it says {said:?}");
        }
        thread::sleep(PAUSE);
    }
}

fn agree(socket: &UdpSocket, question: &Question) -> Result<()> {
    let [one, other] = Peer::ALL.map(|peer| ask(socket, peer, question));
    let (one, other) = (one?, other?);
    let [first, second] = Peer::ALL;
    ensure!(one == other, "{question}: {first} says {one:?}, {second} {other:?}");
    Ok(())
}

fn ask(socket: &UdpSocket, peer: Peer, question: &Question) -> Result<Said> {
    let asked = || format!("asking {peer} for {question}");
    let message = message(question)?;
    exchange(socket, peer.address(), &message).and_then(|answer| said(&answer)).with_context(asked)
}

fn message(question: &Question) -> Result<Message> {
    let name = Name::from_ascii(&question.name).context("reading a name")?;
    let kind: RecordType = question.kind.parse().context("reading a type")?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    Ok(message)
}

/// Answers to questions before, which nobody waits for any more, are passed over.
fn exchange(socket: &UdpSocket, server: SocketAddr, message: &Message) -> Result<Message> {
    socket.send_to(&message.to_vec()?, server).context("sending a question")?;
    let mut buffer = [0; MOST_BYTES];
    loop {
        let length = socket.recv(&mut buffer).context("waiting for an answer")?;
        let answer = buffer.get(..length).map(Message::from_vec).context("reading an answer")??;
        if answer.metadata.id == message.metadata.id {
            return Ok(answer);
        }
    }
}

fn said(answer: &Message) -> Result<Said> {
    ensure!(!answer.metadata.truncation, "the answer is cut");
    let record = |record: &hickory_proto::rr::Record| {
        let name = record.name.to_lowercase();
        format!("{name} {} {}", record.record_type(), record.data)
    };
    let code = answer.metadata.response_code;
    Ok(Said { code, records: answer.answers.iter().map(record).collect() })
}
