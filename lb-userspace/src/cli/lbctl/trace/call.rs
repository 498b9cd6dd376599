//! A process of the node that connects: a real call on a real socket, in a cgroup whose calls the
//! programs see, and in a network namespace without a link, so that nothing is ever sent.
//!
//! What the programs made of the call is told by the error, and by what they remember of the
//! socket.

use super::rehearsal::{Fate, Told};
use crate::bpf::private::PrivateDatapath;
use crate::cli::lbctl::words::socket as both;
use crate::compile::proto;
use crate::model::Protocol;
use crate::probe::cgroup::Cgroup;
use crate::probe::frame::Ends;
use anyhow::{Context as _, Result};
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, Port};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, setsockopt,
    socket, sockopt,
};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// A process whose calls the programs see, and which has nobody to talk to.
pub(super) struct Process {
    sockets: Receiver<Result<OwnedFd>>,
    _cgroup: Cgroup,
}

impl Process {
    /// Makes this process one, whose sockets are made to send what `ends` says.
    pub(super) fn join(shadow: &mut PrivateDatapath, ends: &Ends) -> Result<Self> {
        let cgroup = Cgroup::join()?;
        shadow.serve(cgroup.path())?;
        let source = bound_to(ends.src.ip(), shadow)?;
        let (out, sockets) = sync_channel(0);
        let (protocol, to) = (ends.protocol, ends.dst);
        let agents = agents(shadow, protocol)?;
        thread::Builder::new()
            .name("sockets".to_owned())
            .spawn(move || make_sockets(protocol, to, source, (&agents, &out)))?;
        Ok(Self { sockets, _cgroup: cgroup })
    }

    /// Connects a new socket.
    pub(super) fn connect(&self, shadow: &mut PrivateDatapath, ends: &Ends) -> Result<Fate> {
        let socket = self.sockets.recv().context("waiting for a socket")??;
        let answer = connect(socket.as_raw_fd(), &SockaddrStorage::from(ends.dst));
        if let Some(backend) = backend(shadow, ends.dst)? {
            return Ok(Fate::Call(Ends { dst: backend, ..*ends }));
        }
        Ok(match answer {
            Err(Errno::ECONNREFUSED) => Fate::Ended(Told::Error("ECONNREFUSED")),
            Err(Errno::EPERM) => Fate::Ended(Told::Error("EPERM")),
            // There is no way out of the namespace.
            Ok(()) | Err(_) => Fate::Untouched,
        })
    }
}

/// Where the agent listens on this node. Programs look for its sockets in the namespace of the
/// caller, which is another one here.
fn agents(shadow: &PrivateDatapath, protocol: Protocol) -> Result<Vec<SocketAddr>> {
    let cells = shadow.maps().backends()?;
    let is_own = |cell: &&BackendValue| {
        cell.flags & BackendValue::AGENT != 0 && cell.proto == proto(protocol)
    };
    let addrs = cells.values().filter(is_own).map(|cell| both(cell.addr, cell.port));
    Ok(addrs.filter(|addr| is_taken(protocol, *addr)).collect())
}

fn is_taken(protocol: Protocol, addr: SocketAddr) -> bool {
    let bound = make_socket(protocol, addr)
        .map(|made| bind(made.as_raw_fd(), &SockaddrStorage::from(addr)));
    matches!(bound, Ok(Err(Errno::EADDRINUSE)))
}

/// Makes sockets in a namespace without links, as long as somebody takes them; somebody listens
/// where `agents` do.
fn make_sockets(
    protocol: Protocol,
    to: SocketAddr,
    source: Option<IpAddr>,
    (agents, out): (&[SocketAddr], &SyncSender<Result<OwnedFd>>),
) {
    let stand_ins = unshare(CloneFlags::CLONE_NEWNET)
        .context("making a network namespace")
        .and_then(|()| agents.iter().map(|agent| listener(protocol, *agent)).collect());
    let _stand_ins: Vec<OwnedFd> = match stand_ins {
        Ok(stand_ins) => stand_ins,
        Err(error) => {
            let _ = out.send(Err(error));
            return;
        }
    };
    let client = || match source {
        Some(ip) => make_bound(protocol, SocketAddr::new(ip, 0)),
        None => make_socket(protocol, to),
    };
    while out.send(client()).is_ok() {}
}

fn listener(protocol: Protocol, at: SocketAddr) -> Result<OwnedFd> {
    let made = make_bound(protocol, at)?;
    if protocol == Protocol::Tcp {
        listen(&made, Backlog::MAXCONN).with_context(|| format!("listening at {at}"))?;
    }
    Ok(made)
}

fn make_bound(protocol: Protocol, at: SocketAddr) -> Result<OwnedFd> {
    let made = make_socket(protocol, at)?;
    // No link of the namespace has the address.
    setsockopt(&made, sockopt::IpFreebind, &true).context("freeing a socket to bind")?;
    bind(made.as_raw_fd(), &SockaddrStorage::from(at))
        .with_context(|| format!("binding a socket to {at}"))?;
    Ok(made)
}

/// A socket of the family of `peer`.
fn make_socket(protocol: Protocol, peer: SocketAddr) -> Result<OwnedFd> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if protocol == Protocol::Tcp { SockType::Stream } else { SockType::Datagram };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, kind, flags, None).context("making a socket")
}

/// The address that a process has to bind to in order to be seen as `from`: none, if that is what
/// the programs take for the source of an unbound socket. Nobody binds to loopback addresses in
/// order to reach a Service.
fn bound_to(from: IpAddr, shadow: &PrivateDatapath) -> Result<Option<IpAddr>> {
    let links = shadow.maps().links()?;
    let own =
        |node: &LinkValue| if from.is_ipv4() { node.masquerade_v4 } else { node.masquerade_v6 };
    let primary = links.get(&0).map(own);
    Ok((!from.is_loopback() && primary != Some(Addr::from(from))).then_some(from))
}

/// The backend that the programs put in place of `to`.
fn backend(shadow: &mut PrivateDatapath, to: SocketAddr) -> Result<Option<SocketAddr>> {
    let asked = (Addr::from(to.ip()), Port::new(to.port()));
    let sockets = shadow.maps_mut().take_sockets()?;
    let ours = sockets.iter().find(|(key, frontend)| {
        key.edge == Edge::INGRESS && (frontend.addr, frontend.port) == asked
    });
    Ok(ours.map(|(key, _)| both(key.addr, key.port)))
}
