//! Connections: question after question, each with its length before it (RFC 7766).
//!
//! What is known is answered in turn; what upstreams are asked for does not hold up what comes
//! after it, and is answered when they have (RFC 7766, 6.2.1.1 and 7).

use super::{Server, Step};
use crate::http::accept;
use crate::metrics::dns::Transport;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a client may take for a question, or for taking the answer.
const IDLE: Duration = Duration::from_secs(10);
/// No question is longer.
const MOST_BYTES: u16 = 4096;
/// How many questions of one connection wait for upstreams at a time; with more, nothing is read.
const MOST_WAITING: usize = 16;

/// Lets clients in until it is aborted; they go with it. Strangers are dropped before they could
/// take a client's place, as is everybody of whom it is not known yet: clients ask again.
pub(super) async fn receive(socket: Arc<TcpListener>, server: Arc<Server>) {
    let welcome = |stream, client| {
        server.access.allows(client).then(|| converse(stream, client, server.clone()))
    };
    accept(&socket, &server.clients, welcome).await;
}

/// Answers until the client goes or is silent. How it ends is its own business.
async fn converse(stream: TcpStream, client: IpAddr, server: Arc<Server>) {
    // An answer goes when it is there, not when the client has acknowledged the one before it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (reading, writing) = stream.into_split();
    // Clients send several questions in one segment (RFC 7766, 6.2.1.1).
    let mut reading = BufReader::with_capacity(usize::from(MOST_BYTES), reading);
    let writing = Arc::new(Mutex::new(writing));
    let mut waits = JoinSet::new();
    while let Ok(Ok(packet)) = timeout(IDLE, read(&mut reading)).await {
        let answer = match server.step(&packet, client, Transport::Tcp) {
            Step::Silent => break,
            Step::Send(answer) => answer,
            Step::Wait(wait) => match server.waiting.enter(client) {
                Some(place) => {
                    let (server, writing) = (server.clone(), writing.clone());
                    waits.spawn(async move {
                        let answer = server.wait(wait).await;
                        drop(place);
                        write(&writing, &answer).await
                    });
                    make_room(&mut waits).await;
                    continue;
                }
                None => server.turn_away(&wait),
            },
        };
        if write(&writing, &answer).await.is_err() || !server.access.allows(client) {
            return;
        }
    }
    // A client may close its side behind its last question.
    while waits.join_next().await.is_some() {}
}

/// Waits until one more question may wait.
async fn make_room(waits: &mut JoinSet<io::Result<()>>) {
    while waits.try_join_next().is_some() {}
    if waits.len() >= MOST_WAITING {
        waits.join_next().await;
    }
}

async fn read(stream: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// In one piece: some clients do not expect the length alone.
async fn write(stream: &Mutex<OwnedWriteHalf>, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    let packet = [&length.to_be_bytes(), answer].concat();
    let mut stream = stream.lock().await;
    let written = timeout(IDLE, stream.write_all(&packet)).await;
    let written = written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if written.is_err() {
        // Half of it may have gone: nothing can follow that.
        let _ = stream.shutdown().await;
    }
    written
}
