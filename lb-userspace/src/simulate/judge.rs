//! First packets of new connections: tried often enough to have met every backend, then compared.

use super::expect::{Expect, Verdict};
use super::fate::{Client, Fate, Seen};
use super::report::{Check, json};
use super::scenario::Packet;
use super::socket::{self, Call};
use super::stage::Stage;
use super::world::World;
use crate::model::Protocol;
use anyhow::Result;
use lb_common::verdict::Reason;
use serde_json::Value;
use std::net::SocketAddr;

/// How often a packet is tried that goes to no backend.
const TRIES: usize = 16;
/// How often, for each backend there is and one more: that one of n is missed, or one that should
/// not be there is not met, happens once in e^24 times.
const TRIES_PER_BACKEND: usize = 24;
/// How often a client comes back.
const RETURNS: u32 = 8;

/// Judges one.
///
/// # Errors
/// The kernel refused a run or a call.
pub(super) fn packet(stage: &mut Stage, world: &World<'_>, packet: &Packet) -> Result<Check> {
    let dst = packet.dst();
    let class = packet.from.unwrap_or_else(|| world.node.class(&packet.src));
    let client = Client { node: world.node, class, ip: packet.src };
    let mut connections = Connections { stage, client, proto: packet.proto, dst, number: 0 };
    let accepted: Vec<&Expect> = [&packet.expect].into_iter().chain(&packet.also_accept).collect();

    let before = connections.stage.reasons()?;
    let _listener = socket::listener(packet.proto, &client, dst);
    let mut seen = connections.spread(tries(&accepted), world.has_affinity())?;
    if let Some(timeout_s) = packet.expect.affinity {
        connections.come_back(timeout_s, &mut seen)?;
    }
    note_mishaps(&mut seen, connections.stage.reasons()?.since(&before));

    let all: Vec<Vec<String>> =
        accepted.iter().map(|expect| seen.differences(expect, &client)).collect();
    let ok = all.iter().any(Vec::is_empty);
    let actual = seen.actual();
    Ok(Check {
        name: packet.name.clone().unwrap_or_else(|| about(packet)),
        about: about(packet),
        summary: actual.summary(),
        expected: expected(packet),
        actual: json(&actual),
        ok,
        differences: if ok { Vec::new() } else { all.into_iter().next().unwrap_or_default() },
    })
}

fn about(packet: &Packet) -> String {
    format!("{} {} -> {}", packet.proto.name(), packet.src, packet.dst())
}

fn expected(packet: &Packet) -> Value {
    let mut expected = json(&packet.expect);
    if let Some(fields) = expected.as_object_mut().filter(|_| !packet.also_accept.is_empty()) {
        fields.insert("alsoAccept".to_owned(), json(&packet.also_accept));
    }
    expected
}

fn tries(accepted: &[&Expect]) -> usize {
    let to_backends = accepted.iter().filter(|expect| expect.verdict == Verdict::Dnat);
    let most = to_backends.map(|expect| expect.backends.len()).max();
    most.map_or(TRIES, |backends| TRIES_PER_BACKEND * (backends + 1))
}

/// A packet that was lost by mishap was not discarded on purpose; and whatever is, is counted.
fn note_mishaps(seen: &mut Seen, (reasons, mishaps): (Vec<Reason>, Vec<Reason>)) {
    if seen.has(Verdict::Drop) && reasons.is_empty() && mishaps.is_empty() {
        seen.add_odd("dropped, and no reason was counted".to_owned());
    }
    for mishap in mishaps {
        seen.add_odd(format!("{} ({})", mishap.sentence(), mishap.name()));
    }
}

/// New connections of one client to one frontend.
pub(super) struct Connections<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) client: Client<'a>,
    pub(super) proto: Protocol,
    pub(super) dst: SocketAddr,
    /// How many there were.
    pub(super) number: usize,
}

impl Connections<'_> {
    /// Opens one, from the next port and by the next of the ways that there are.
    fn open(&mut self) -> Result<Fate> {
        self.number += 1;
        let port = self.stage.next_port();
        self.open_from(port)
    }

    /// Opens one from a port; a process of the node has its port from the kernel.
    pub(super) fn open_from(&mut self, port: u16) -> Result<Fate> {
        let Self { ref mut stage, client, proto, dst, number } = *self;
        let even = number % 2 == 0;
        if client.is_process() && proto != Protocol::Sctp {
            let call = if proto == Protocol::Udp && even { Call::SendTo } else { Call::Connect };
            return stage.ask(&client, (proto, dst), call);
        }
        stage.open(&client, &client.ends(port, proto, dst), even)
    }

    /// Opens that many, each as if the client had never been seen.
    fn spread(&mut self, tries: usize, has_affinity: bool) -> Result<Seen> {
        let mut seen = Seen::default();
        for _ in 0..tries {
            if has_affinity {
                self.stage.forget_affinities()?;
            }
            seen.add(self.open()?, &self.client);
        }
        Ok(seen)
    }

    /// Lets the client come back, in time and too late.
    fn come_back(&mut self, timeout_s: u32, seen: &mut Seen) -> Result<()> {
        let first = self.open()?;
        for _ in 0..RETURNS {
            self.stage.pass_time(timeout_s.saturating_sub(1))?;
            let next = self.open()?;
            if backend(&next) != backend(&first) {
                seen.add_odd(format!(
                    "a client that came back within {timeout_s} s was sent elsewhere"
                ));
                return Ok(());
            }
        }
        let others = seen.backends().count();
        for _ in 0..TRIES_PER_BACKEND * others {
            self.stage.pass_time(timeout_s.saturating_add(1))?;
            if backend(&self.open()?) != backend(&first) {
                return Ok(());
            }
        }
        if others > 1 {
            seen.add_odd(format!("a client is still bound after {timeout_s} s"));
        }
        Ok(())
    }
}

/// Where a connection went.
pub(super) fn backend(fate: &Fate) -> Option<SocketAddr> {
    if let Fate::Dnat(backend, _) = fate { Some(*backend) } else { None }
}
