//! Datagrams.

use super::{Server, Step};
use crate::metrics::dns::Transport;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// No question is longer: a name, and an OPT record with its options.
const MOST_BYTES: usize = 4096;
/// One byte more tells what is longer: the kernel cuts a datagram without a word.
const BUFFER_BYTES: usize = MOST_BYTES + 1;
/// How long nobody is heard after the kernel refused to hand out a datagram.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers datagrams until it is aborted.
pub(super) async fn receive(socket: Arc<UdpSocket>, server: Arc<Server>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!("receiving a question: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if length > MOST_BYTES {
            continue;
        }
        let packet = buffer.get(..length).unwrap_or_default();
        match server.step(packet, client.ip(), Transport::Udp) {
            Step::Silent => {}
            // A client that is not there any more is its own business.
            Step::Send(answer) => drop(socket.send_to(&answer, client).await),
            Step::Wait(wait) => {
                let Some(place) = server.waiting.enter(client.ip()) else {
                    let _ = socket.send_to(&server.turn_away(&wait), client).await;
                    continue;
                };
                let (socket, server) = (socket.clone(), server.clone());
                tokio::spawn(async move {
                    let answer = server.wait(wait).await;
                    let _ = socket.send_to(&answer, client).await;
                    drop(place);
                });
            }
        }
    }
}
