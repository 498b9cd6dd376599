//! Connections: question after question, each with its length before it (RFC 7766).

use super::{Server, Step};
use crate::metrics::dns::Transport;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a client may take for a question, or for taking the answer.
const IDLE: Duration = Duration::from_secs(10);
/// No question is longer.
const MOST_BYTES: u16 = 4096;
/// How long nobody is let in after the kernel refused to (no descriptor left, most likely).
const PAUSE: Duration = Duration::from_millis(100);

/// Lets clients in until it is aborted; they go with it.
pub(super) async fn accept(socket: TcpListener, server: Arc<Server>) {
    let mut own = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, client)) => {
                    let task = own.spawn(converse(stream, client.ip(), server.clone()));
                    server.clients.admit(task);
                }
                Err(error) => {
                    tracing::debug!("letting in a client: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = own.join_next() => {}
        }
    }
}

/// Answers until the client goes or is silent. How it ends is its own business.
async fn converse(mut stream: TcpStream, client: IpAddr, server: Arc<Server>) {
    while let Ok(Ok(packet)) = timeout(IDLE, read(&mut stream)).await {
        let answer = match server.step(&packet, client, Transport::Tcp) {
            Step::Silent => return,
            Step::Send(answer) => answer,
            Step::Wait(wait) => match server.waiting.try_acquire() {
                Ok(_permit) => server.wait(wait).await,
                Err(_) => server.turn_away(&wait),
            },
        };
        let written = timeout(IDLE, write(&mut stream, &answer)).await;
        let is_over = !matches!(written, Ok(Ok(()))) || !server.access.allows(client);
        if is_over {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// In one piece: some clients do not expect the length alone.
async fn write(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), answer].concat()).await
}
