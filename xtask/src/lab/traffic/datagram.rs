//! A UDP socket that asks a server of ours who it is.

use super::Info;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::UdpSocket;

/// The largest UDP payload.
const BUFFER: usize = 65_536;

/// A client's socket.
pub(super) struct Conversation {
    socket: UdpSocket,
    to: SocketAddr,
    connected: bool,
}

impl Conversation {
    /// A socket for questions to `to`, at an address of its own where that matters. A connected
    /// one hears of errors, and of `to` alone.
    pub(super) async fn open(
        to: SocketAddr,
        own: Option<SocketAddr>,
        connected: bool,
    ) -> io::Result<Self> {
        let any = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own.unwrap_or(any)).await?;
        if connected {
            socket.connect(to).await?;
        }
        Ok(Self { socket, to, connected })
    }

    /// Sends `payload` and waits for it to come back, from the address that was asked.
    pub(super) async fn ask(&self, payload: &[u8]) -> io::Result<Info> {
        let mut buffer = vec![0; BUFFER];
        let (len, from) = if self.connected {
            self.socket.send(payload).await?;
            (self.socket.recv(&mut buffer).await?, self.to)
        } else {
            self.socket.send_to(payload, self.to).await?;
            self.socket.recv_from(&mut buffer).await?
        };
        if from != self.to {
            let kind = io::ErrorKind::AddrNotAvailable;
            return Err(io::Error::new(kind, "answered by another address"));
        }
        echoed(buffer.get(..len).unwrap_or_default(), payload)
    }

    /// Who the socket says it talks to.
    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        if self.connected { self.socket.peer_addr() } else { Ok(self.to) }
    }
}

/// The server's first line, if what it was sent follows.
fn echoed(answer: &[u8], payload: &[u8]) -> io::Result<Info> {
    let mut parts = answer.splitn(2, |byte| *byte == b'\n');
    let (Some(line), Some(echo)) = (parts.next(), parts.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    if echo != payload {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(serde_json::from_slice(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_payload_is_an_error() {
        let line = br#"{"name":"a","client":"192.0.2.1:1","local":"192.0.2.2:2"}"#;
        let answer = [line.as_slice(), b"\nxyz"].concat();
        assert_eq!(echoed(&answer, b"xyz").unwrap().name, "a");
        assert!(echoed(&answer, b"xxz").is_err());
    }
}
