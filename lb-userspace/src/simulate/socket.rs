//! Processes of the node: real calls on real sockets, in the private namespace and cgroup.
//!
//! What a call becomes is told by its error number, and by what the programs remember of the
//! socket in `SOCKETS`. Whatever is really sent is lost behind the uplink.

use super::fate::{Client, Fate};
use super::stage::Stage;
use crate::model::Protocol;
use anyhow::{Context as _, Result};
use lb_common::flow::Edge;
use lb_common::wire::{Addr, Port};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, getsockname,
    sendto, socket,
};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// How a process reaches its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `connect(2)`.
    Connect,
    /// `sendto(2)` on a UDP socket without a peer.
    SendTo,
}

impl Stage {
    /// Lets a process of the node ask.
    pub(super) fn ask(
        &mut self,
        client: &Client<'_>,
        (proto, dst): (Protocol, SocketAddr),
        call: Call,
    ) -> Result<Fate> {
        self.join_cgroup()?;
        let socket = open(proto, dst)?;
        bind_source(&socket, client)?;
        let to = SockaddrStorage::from(dst);
        let answer = match call {
            Call::Connect => connect(socket.as_raw_fd(), &to),
            Call::SendTo => sendto(socket.as_raw_fd(), b"ping", &to, MsgFlags::empty()).map(|_| ()),
        };
        if let Some(backend) = self.backend(dst)? {
            return Ok(Fate::Dnat(backend, source(&socket)?));
        }
        Ok(match answer {
            Ok(()) | Err(Errno::EINPROGRESS) => Fate::Pass,
            Err(Errno::ECONNREFUSED) => Fate::Reject,
            Err(Errno::EPERM) => Fate::Drop,
            Err(errno) => Fate::Odd(format!("the call on the socket failed: {}", errno.desc())),
        })
    }

    /// The backend that the programs put in place of `dst`, as they remember it.
    ///
    /// No other socket is among what they remember: it is taken from them after every call.
    fn backend(&mut self, dst: SocketAddr) -> Result<Option<SocketAddr>> {
        let (addr, port) = (Addr::from(dst.ip()), Port::new(dst.port()));
        let sockets = self.datapath.maps_mut().take_sockets()?;
        let named = sockets.iter().find(|(key, name)| {
            key.edge == Edge::INGRESS && (name.addr, name.port) == (addr, port)
        });
        Ok(named.map(|(key, _)| SocketAddr::new(key.addr.to_ip(), key.port.number())))
    }
}

fn open(proto: Protocol, dst: SocketAddr) -> Result<OwnedFd> {
    let family = if dst.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if proto == Protocol::Tcp { SockType::Stream } else { SockType::Datagram };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, kind, flags, None).context("making a socket")
}

/// A process that asks a loopback address lets the kernel choose its own; any other address of
/// the node may have been chosen on purpose.
fn bind_source(socket: &OwnedFd, client: &Client<'_>) -> Result<()> {
    if client.ip.is_loopback() || !client.node.ips.contains(&client.ip) {
        return Ok(());
    }
    let own = SockaddrStorage::from(SocketAddr::new(client.ip, 0));
    bind(socket.as_raw_fd(), &own).with_context(|| format!("binding a socket to {}", client.ip))
}

/// The source of a socket's packets, if it has decided on one.
fn source(socket: &OwnedFd) -> Result<Option<IpAddr>> {
    let own: SockaddrStorage =
        getsockname(socket.as_raw_fd()).context("asking for a socket's address")?;
    let v4 = own.as_sockaddr_in().map(|own| IpAddr::from(own.ip()));
    let ip = v4.or_else(|| own.as_sockaddr_in6().map(|own| IpAddr::from(own.ip())));
    Ok(ip.filter(|ip| !ip.is_unspecified()))
}

/// Somebody who listens where packets to an address of the node itself are delivered. Without
/// anybody the kernel would refuse, and nobody could tell whose refusal it was.
pub(super) fn listener(
    proto: Protocol,
    client: &Client<'_>,
    dst: SocketAddr,
) -> Option<TcpListener> {
    let own = dst.ip().is_loopback() || client.node.ips.contains(&dst.ip());
    // An address in use has somebody who listens: the health check server.
    (own && proto == Protocol::Tcp).then(|| TcpListener::bind(dst).ok()).flatten()
}
