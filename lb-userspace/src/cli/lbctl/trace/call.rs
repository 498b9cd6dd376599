//! A process of the node that connects: a real call on a real socket, in a cgroup whose calls the
//! programs see, and in a network namespace without a link, so that nothing is ever sent.
//!
//! What the programs made of the call is told by the error, and by what they remember of the
//! socket.

use super::rehearsal::{Fate, Told};
use crate::bpf::private::PrivateDatapath;
use crate::cli::lbctl::words::socket as both;
use crate::model::Protocol;
use crate::probe::cgroup::Cgroup;
use crate::probe::frame::Ends;
use anyhow::{Context as _, Result};
use lb_common::flow::Edge;
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, Port};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
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
        thread::Builder::new()
            .name("sockets".to_owned())
            .spawn(move || make_sockets(protocol, to, source, &out))?;
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

/// Makes sockets in a namespace without links, as long as somebody takes them.
fn make_sockets(
    protocol: Protocol,
    to: SocketAddr,
    source: Option<IpAddr>,
    out: &SyncSender<Result<OwnedFd>>,
) {
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
        let error = anyhow::Error::from(errno).context("making a network namespace");
        let _ = out.send(Err(error));
        return;
    }
    while out.send(make_socket(protocol, to, source)).is_ok() {}
}

fn make_socket(protocol: Protocol, to: SocketAddr, source: Option<IpAddr>) -> Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if protocol == Protocol::Tcp { SockType::Stream } else { SockType::Datagram };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let made = socket(family, kind, flags, None).context("making a socket")?;
    if let Some(ip) = source {
        // No link of the namespace has the address.
        setsockopt(&made, sockopt::IpFreebind, &true).context("freeing a socket to bind")?;
        bind(made.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(ip, 0)))
            .with_context(|| format!("binding a socket to {ip}"))?;
    }
    Ok(made)
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
