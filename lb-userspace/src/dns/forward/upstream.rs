//! Other servers that know what we do not: one question, one reply, from the first that has one.

use super::super::wire::{MOST_UDP, Reply, edns};
use super::cache::{Key, is_failure};
use hickory_proto::op::{Message, Query, ResponseCode};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one server has for one try.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often each is tried: datagrams get lost.
const TRIES: usize = 2;
/// How long all tries may take together: a client's resolver waits five seconds.
const TOGETHER: Duration = Duration::from_millis(4500);
/// With less left, it is not tried again: it could not be learnt from.
const SHORTEST: Duration = Duration::from_millis(200);
/// For how long a server that did not answer comes last.
const LAST: Duration = Duration::from_secs(10);
/// A header without anything else.
const HEADER_BYTES: usize = 12;
const IS_ANSWER: u8 = 0x80;
const IS_CUT: u8 = 0x02;
/// BADVERS; BADSIG has the same number.
const BAD_VERSION: u16 = 16;

/// A server.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    last_until: Mutex<Option<Instant>>,
}

/// What asking came to, for whoever counts.
pub(super) struct Tried {
    /// Which server, in the given order.
    pub(super) upstream: usize,
    pub(super) took: Duration,
    pub(super) answered: bool,
}

impl Upstream {
    pub(super) fn new(addr: SocketAddr) -> Self {
        Self { addr, last_until: Mutex::default() }
    }

    fn is_last(&self, now: Instant) -> bool {
        let until = *self.last_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }

    fn set_last(&self, until: Option<Instant>) {
        *self.last_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// What it says. Servers that know nothing of EDNS say so in one of three ways, and are asked
    /// without it then (RFC 6891, 6.2.2 and 7).
    async fn ask(&self, key: &Key) -> io::Result<Reply> {
        let mut question = message(key);
        let reply = exchange(self.addr, &question).await?;
        let is_about_edns = reply.code == ResponseCode::FormErr
            || reply.code == ResponseCode::NotImp
            || u16::from(reply.code) == BAD_VERSION;
        if !is_about_edns {
            return Ok(reply);
        }
        question.edns = None;
        question.metadata.id = Message::query().metadata.id;
        exchange(self.addr, &question).await
    }
}

/// By UDP, and by TCP at once if the answer does not arrive whole or cannot be read.
async fn exchange(server: SocketAddr, question: &Message) -> io::Result<Reply> {
    let asked = question.to_vec().map_err(io::Error::other)?;
    match by_udp(server, &asked).await? {
        Heard::Reply(reply) => Ok(reply),
        Heard::Unreadable => by_tcp(server, &asked).await,
    }
}

/// Asks one after the other until one knows. What one says that cannot help (SERVFAIL, REFUSED)
/// is handed on if none can.
pub(super) async fn ask(
    upstreams: &[Upstream],
    key: &Key,
    note: impl Fn(Tried),
) -> Result<Reply, Reply> {
    let mut failure = Reply::bare(ResponseCode::ServFail);
    let began = Instant::now();
    for (number, upstream) in order(upstreams, began).into_iter().enumerate() {
        let Some(server) = upstreams.get(upstream) else { continue };
        let since = Instant::now();
        let untried = upstreams.len().saturating_sub(number);
        let Some(patience) = patience(since - began, untried) else { break };
        let answered = within(patience, server.ask(key)).await;
        let ended = Instant::now();
        server.set_last(answered.is_err().then(|| ended + LAST));
        note(Tried { upstream, took: ended - since, answered: answered.is_ok() });
        match answered {
            Ok(reply) if is_failure(reply.code) => failure = reply,
            Ok(reply) => return Ok(reply),
            Err(error) => tracing::debug!("asking {}: {error}", server.addr),
        }
    }
    Err(failure)
}

/// How long the next try may take after all that was spent, so that every server is tried once at
/// least; `None`: there is no time for one. No try is broken off unseen: each is counted and
/// learnt from.
fn patience(spent: Duration, untried: usize) -> Option<Duration> {
    let left = TOGETHER.saturating_sub(spent);
    let share = left / u32::try_from(untried.max(1)).unwrap_or(u32::MAX);
    (left >= SHORTEST).then(|| PATIENCE.min(share))
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// In the order in which they were given, those last that were silent lately.
fn order(upstreams: &[Upstream], now: Instant) -> Vec<usize> {
    let mut order: Vec<usize> = (0..upstreams.len()).collect();
    order.sort_by_key(|at| upstreams.get(*at).is_some_and(|upstream| upstream.is_last(now)));
    order.repeat(TRIES)
}

/// A question with a number at random (from a generator that nobody can predict).
fn message(key: &Key) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = key.checking_disabled;
    // As every server does that would hear whether the answer is authentic (RFC 6840, 5.7).
    message.metadata.authentic_data = true;
    message.add_query(Query::query(key.name.clone(), key.kind));
    message.set_edns(edns(key.dnssec_ok));
    message
}

/// A socket of its own for each question: a port at random, and only that server is heard.
async fn by_udp(server: SocketAddr, asked: &[u8]) -> io::Result<Heard> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(asked).await?;
    let mut buffer = vec![0; usize::from(MOST_UDP) * 2];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Whatever is no answer to this question is somebody's guess: the real one may come yet.
        if let Some(heard) = hear(asked, buffer.get(..length).unwrap_or_default()) {
            return Ok(heard);
        }
    }
}

async fn by_tcp(server: SocketAddr, asked: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), asked].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    match hear(asked, &buffer) {
        Some(Heard::Reply(reply)) => Ok(reply),
        Some(Heard::Unreadable) | None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// What answers a question.
enum Heard {
    Reply(Reply),
    /// It is cut, or there is something wrong with it.
    Unreadable,
}

/// What a packet says to a question; `None`: it does not belong to it. Number and question are
/// compared before anything is parsed, so that an answer that cannot be parsed is not waited for.
fn hear(asked: &[u8], packet: &[u8]) -> Option<Heard> {
    let [a, b, flags, code, high, low, ..] = *packet else { return None };
    if packet.len() < HEADER_BYTES || !asked.starts_with(&[a, b]) || flags & IS_ANSWER == 0 {
        return None;
    }
    if [high, low] == [0, 0] {
        return bare_refusal(code & 0x0f).map(Heard::Reply);
    }
    if [high, low] != [0, 1] || !has_question(asked, packet) {
        return None;
    }
    let is_whole = flags & IS_CUT == 0;
    let message = is_whole.then(|| Message::from_vec(packet).ok()).flatten();
    Some(message.map_or(Heard::Unreadable, |message| Heard::Reply(reply(message))))
}

/// A server that does not read the question need not repeat it.
fn bare_refusal(code: u8) -> Option<Reply> {
    let code = ResponseCode::from(0, code);
    matches!(code, ResponseCode::FormErr | ResponseCode::NotImp).then(|| Reply::bare(code))
}

/// Whether the packet repeats the question of `asked`, which has one. Letters of the name may
/// differ in case; type and class may not, and have bytes that would.
fn has_question(asked: &[u8], packet: &[u8]) -> bool {
    let Some(name) = name_bytes(asked) else { return false };
    let (from, to) = (HEADER_BYTES + name, HEADER_BYTES + name + 4);
    let names = [asked, packet].map(|bytes| bytes.get(HEADER_BYTES..from));
    let kinds = [asked, packet].map(|bytes| bytes.get(from..to));
    let ([Some(name), Some(other)], [Some(kind), Some(other_kind)]) = (names, kinds) else {
        return false;
    };
    // Lengths of labels are below 64, where there are no letters.
    name.eq_ignore_ascii_case(other) && kind == other_kind
}

/// The length of the name behind the header of our own question: nothing in it points anywhere.
fn name_bytes(asked: &[u8]) -> Option<usize> {
    let name = asked.get(HEADER_BYTES..)?;
    let mut at = 0;
    loop {
        let label = usize::from(*name.get(at)?);
        at += 1 + label;
        if label == 0 {
            return Some(at);
        }
    }
}

fn reply(message: Message) -> Reply {
    let Message { metadata, answers, authorities, additionals, .. } = message;
    Reply {
        code: metadata.response_code,
        authoritative: false,
        authentic: metadata.authentic_data,
        answers,
        authorities,
        additionals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_share_of_the_time() {
        let ms = Duration::from_millis;
        assert_eq!(patience(ms(0), 1), Some(ms(2000)));
        assert_eq!(patience(ms(0), 3), Some(ms(1500)));
        assert_eq!(patience(ms(3000), 1), Some(ms(1500)));
        assert_eq!(patience(ms(4000), 0), Some(ms(500)));
        assert_eq!(patience(ms(4400), 0), None);
        assert_eq!(patience(ms(5000), 1), None);
    }
}
