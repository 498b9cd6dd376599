//! Connected UDP sockets of the node's own processes whose endpoint is gone.
//!
//! The socket programs put an endpoint in the Service's place once, when a socket connects; its
//! packets are never looked at again, so it would go on talking to nobody. Each edit that moves
//! the generation of a UDP backend on is noted, and afterwards the sockets that `SOCKETS` says
//! were led to that backend are closed in the kernel (`SOCK_DESTROY`). This is for sockets what
//! purging UDP entries of conntrack is for kube-proxy. No other socket is touched, and nothing is
//! asked while no UDP backend goes.
//!
//! What the process sees (tried on Linux 6.18, IPv4, IPv6 and mapped alike): a call that waits for
//! an answer, or the next one that does, fails with `ECONNABORTED`, once; `poll` tells `POLLERR`;
//! `send` fails with `EDESTADDRREQ`, because the socket is not connected any more. Answers that
//! were waiting can still be read. The socket can be connected again, and is then led to another
//! endpoint; whoever opens a new one after an error, as resolvers do, loses one question.

/// How the kernel is asked.
mod diag;

use anyhow::{Context as _, Result, ensure};
use diag::{AF_INET, AF_INET6, Connected, Diag};
use lb_common::flow::Edge;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::socket::{SocketKey, SocketValue};
use lb_common::wire::{Addr, IpProto, Port};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};

/// UDP backends that are gone: where they listened, and their cells and generations.
type Gone = BTreeMap<(Addr, Port), BTreeSet<(u32, u32)>>;

/// Closes the sockets of backends that are gone.
#[derive(Debug, Default)]
pub struct Closer {
    /// Those whose sockets nobody has looked for yet.
    fresh: Gone,
    /// Those that have to be looked for once more.
    again: Gone,
    /// The failure that was told last.
    told: Option<String>,
}

impl Closer {
    /// Notes that a cell of `BACKENDS` turns from `before` into `after`.
    pub fn note(&mut self, id: u32, before: &BackendValue, after: &BackendValue) {
        let had_sockets = before.proto == IpProto::UDP && before.service != 0;
        if had_sockets && before.generation != after.generation {
            let cells = self.fresh.entry((before.addr, before.port)).or_default();
            cells.insert((id, before.generation));
        }
    }

    /// Closes the sockets of what was noted; `entry` reads `SOCKETS`. Tells how many there were.
    /// A failure is logged and ends nothing: the sockets stay as they are.
    pub fn close(&mut self, entry: impl Fn(&SocketKey) -> Result<Option<SocketValue>>) -> usize {
        let gone = std::mem::take(&mut self.fresh);
        for (place, cells) in &gone {
            self.again.entry(*place).or_default().extend(cells);
        }
        self.look(&gone, entry)
    }

    /// The same once more, some time after: a process may have been between the choice of its
    /// endpoint and the end of `connect` when its socket was looked for.
    pub fn close_late(
        &mut self,
        entry: impl Fn(&SocketKey) -> Result<Option<SocketValue>>,
    ) -> usize {
        let gone = std::mem::take(&mut self.again);
        self.look(&gone, entry)
    }

    /// Whether some have to be looked for once more.
    pub fn is_unfinished(&self) -> bool {
        !self.again.is_empty()
    }

    fn look(
        &mut self,
        gone: &Gone,
        entry: impl Fn(&SocketKey) -> Result<Option<SocketValue>>,
    ) -> usize {
        let closed = close(gone, entry).unwrap_or_else(|error| {
            self.tell(format!("{error:#}"));
            0
        });
        if closed != 0 {
            tracing::info!(closed, "closed UDP sockets whose endpoint is gone");
        }
        closed
    }

    /// A kernel without the means fails every time: it is told once.
    fn tell(&mut self, failure: String) {
        if self.told.as_ref() != Some(&failure) {
            tracing::warn!("UDP sockets stay with an endpoint that is gone: {failure}");
        }
        self.told = Some(failure);
    }
}

/// Closes the sockets that were led to what is gone.
fn close(gone: &Gone, entry: impl Fn(&SocketKey) -> Result<Option<SocketValue>>) -> Result<usize> {
    if gone.is_empty() {
        return Ok(0);
    }
    let diag = Diag::open()?;
    let mut closed = 0;
    for family in families(gone) {
        for socket in diag.connected(*family)? {
            let Some(cells) = gone.get(&socket.peer()) else { continue };
            // Who connected to the endpoint itself, or by another Service, is none of ours.
            let led = entry(&receiving(&socket))?;
            if led.is_some_and(|led| cells.contains(&(led.backend, led.generation))) {
                closed += usize::from(diag.destroy(&socket)?);
            }
        }
    }
    Ok(closed)
}

/// The families of sockets that may talk to what is gone: IPv6 sockets talk IPv4 too.
fn families(gone: &Gone) -> &'static [u8] {
    if gone.keys().any(|(addr, _)| addr.is_v4()) { &[AF_INET, AF_INET6] } else { &[AF_INET6] }
}

/// The key under which the socket programs remember whom a socket was led to.
fn receiving(socket: &Connected) -> SocketKey {
    let (addr, port) = socket.peer();
    let (cookie, proto, edge) = (socket.cookie(), IpProto::UDP, Edge::INGRESS);
    SocketKey { cookie, addr, port, proto, edge, zero: [0; 4] }
}

/// Closes a socket of our own, to see whether the kernel does it.
///
/// # Errors
/// It does not (`CONFIG_INET_DIAG_DESTROY`, `CONFIG_INET_UDP_DIAG`), or we may not.
pub fn try_out() -> Result<()> {
    let own = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("binding to 127.0.0.1")?;
    let addr = own.local_addr()?;
    own.connect(addr).context("connecting to 127.0.0.1")?;
    let peer = (addr.ip().into(), Port::new(addr.port()));
    let diag = Diag::open()?;
    let sockets = diag.connected(AF_INET)?;
    let own_again = sockets.iter().find(|socket| socket.peer() == peer);
    diag.destroy(own_again.context("the kernel does not list UDP sockets")?)?;
    let seen = own.take_error()?.as_ref().and_then(io::Error::raw_os_error);
    ensure!(seen == Some(Errno::ECONNABORTED as i32), "the socket was not told that it is closed");
    Ok(())
}

#[cfg(test)]
mod tests;
