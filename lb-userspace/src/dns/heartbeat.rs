//! Proof that the server answers, by which packets for the cluster's DNS are sent to it.
//!
//! A server that ended has no socket any more, which programs see by themselves. One that hangs
//! still has: so it is asked, as any client would ask, and each answer is told.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often it is asked: several times while a beat holds (`lb_common::layout::heartbeat`).
const PERIOD: Duration = Duration::from_millis(500);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(400);
/// Room for the answer, which is one short record.
const ROOM: usize = 512;

/// Asks the server at `server` for its version of the specification in `domain` until it is aborted;
/// every good answer is `told`.
pub(super) async fn follow(server: SocketAddr, domain: Name, told: impl Fn()) {
    let Ok(version) = domain.prepend_label("dns-version") else { return };
    let mut clock = interval(PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if matches!(timeout(PATIENCE, ask(server, &version)).await, Ok(Ok(true))) {
            told();
        }
    }
}

/// Whether there is a good answer. Another socket each time: an answer that comes too late is
/// nobody's.
async fn ask(server: SocketAddr, version: &Name) -> io::Result<bool> {
    let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0)).await?;
    socket.connect(server).await?;
    let mut question = Message::query();
    question.add_query(Query::query(version.clone(), RecordType::TXT));
    socket.send(&question.to_vec().map_err(io::Error::other)?).await?;
    let mut packet = [0; ROOM];
    let len = socket.recv(&mut packet).await?;
    let answer = packet.get(..len).and_then(|packet| Message::from_vec(packet).ok());
    Ok(answer.is_some_and(|answer| {
        answer.metadata.id == question.metadata.id
            && answer.metadata.response_code == ResponseCode::NoError
            && !answer.answers.is_empty()
    }))
}
