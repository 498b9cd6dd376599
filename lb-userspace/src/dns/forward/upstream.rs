//! Other servers that know what we do not: one question, one reply, from the first that has one.

use super::super::wire::{MOST_UDP, Reply, edns};
use super::cache::{Key, is_failure};
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
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
/// For how long a server that did not answer comes last.
const LAST: Duration = Duration::from_secs(10);

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

    async fn ask(&self, key: &Key) -> io::Result<Message> {
        let asked = message(key);
        let packet = asked.to_vec().map_err(io::Error::other)?;
        let reply = by_udp(self.addr, &asked, &packet).await?;
        if reply.metadata.truncation {
            return by_tcp(self.addr, &asked, &packet).await;
        }
        Ok(reply)
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
    let tries = async {
        for upstream in order(upstreams, Instant::now()) {
            let Some(server) = upstreams.get(upstream) else { continue };
            let began = Instant::now();
            let answered = within(PATIENCE, server.ask(key)).await;
            let ended = Instant::now();
            server.set_last(answered.is_err().then(|| ended + LAST));
            note(Tried { upstream, took: ended - began, answered: answered.is_ok() });
            match answered.map(reply) {
                Ok(reply) if is_failure(reply.code) => failure = reply,
                Ok(reply) => return Some(reply),
                Err(error) => tracing::debug!("asking {}: {error}", server.addr),
            }
        }
        None
    };
    let reply = timeout(TOGETHER, tries).await.ok().flatten();
    reply.ok_or(failure)
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
async fn by_udp(server: SocketAddr, asked: &Message, packet: &[u8]) -> io::Result<Message> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(packet).await?;
    let mut buffer = vec![0; usize::from(MOST_UDP) * 2];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let reply = buffer.get(..length).unwrap_or_default();
        // Whatever is no answer to this question is somebody's guess: the real one may come yet.
        if let Some(reply) = answer_to(asked, reply) {
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, asked: &Message, packet: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), packet].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    answer_to(asked, &buffer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn answer_to(asked: &Message, packet: &[u8]) -> Option<Message> {
    let reply = Message::from_vec(packet).ok()?;
    let is_ours = reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == asked.metadata.id
        && reply.queries == asked.queries;
    is_ours.then_some(reply)
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
