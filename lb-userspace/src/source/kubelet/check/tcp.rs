//! `tcpSocket`: somebody accepts connections.
//!
//! The kubelet sets `SO_LINGER` to a second, so that its sockets leave TIME-WAIT sooner. Linux does
//! not do that (tried 2026-11-28: still in TIME-WAIT after 2 s), and to close such a socket waits
//! for the other side, on a thread of the whole agent. So it is left alone here.

use super::{Outcome, TRIES, too_slow};
use crate::source::kubelet::probe::Place;
use anyhow::{Context as _, Result};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Lookups of names at the same time. Nothing can end one, so each keeps its place until it ends
/// by itself: else those of a name server that is gone would take all threads that may block.
static LOOKUPS: Semaphore = Semaphore::const_new(16);

/// Connects, and hangs up.
pub(super) async fn check(place: &Place, patience: Duration) -> Outcome {
    match timeout(patience, connect(place)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(format!("{error:#}")),
        Err(_) => Outcome::Failure(too_slow(patience)),
    }
}

/// A connection to `place`, from the agent's network namespace.
pub(super) async fn connect(place: &Place) -> Result<TcpStream> {
    first(place).await.with_context(|| format!("connecting to {place}"))
}

/// To the first of its addresses that answers.
async fn first(place: &Place) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in addresses(place).await? {
        match reach(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn addresses(place: &Place) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = place.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, place.port)]);
    }
    let turn = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let (host, port) = (place.host.clone(), place.port);
    let found = spawn_blocking(move || {
        let found = (host, port).to_socket_addrs();
        drop(turn);
        found
    });
    Ok(found.await??.collect())
}

/// Where nobody listens at a port that the kernel also gives to clients, a socket may be given that
/// very port and reach itself. Go tries again then, and so does the kubelet.
async fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let stream = TcpStream::connect(address).await?;
        if !is_own(&stream)? {
            return Ok(stream);
        }
    }
    Err(io::ErrorKind::ConnectionRefused.into())
}

fn is_own(stream: &TcpStream) -> io::Result<bool> {
    Ok(stream.local_addr()? == stream.peer_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    #[tokio::test]
    async fn a_socket_that_reaches_itself_is_known() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        assert!(is_own(&socket.connect(own).await.unwrap()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = reach(listener.local_addr().unwrap()).await.unwrap();
        assert!(!is_own(&stream).unwrap());
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let _all = LOOKUPS.acquire_many(16).await.unwrap();
        let of = |host: &str| Place { host: host.to_owned(), port: 1 };
        let found = addresses(&of("::1")).await.unwrap();
        assert_eq!(found, ["[::1]:1".parse().unwrap()]);
        let waits = timeout(Duration::from_millis(10), addresses(&of("localhost"))).await;
        assert!(waits.is_err());
    }
}
