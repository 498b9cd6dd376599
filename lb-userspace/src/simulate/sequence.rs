//! New connections in order, with time that passes between them.

use super::expect::Verdict;
use super::fate::{Client, Fate, Seen};
use super::judge::{Connections, backend};
use super::report::{Check, json};
use super::scenario::Connection;
use super::socket;
use super::stage::Stage;
use super::world::World;
use anyhow::Result;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// How far a scenario is.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The first connection was opened.
    begun: bool,
    now_s: u32,
    /// The backends that connections got, by their names.
    chosen: BTreeMap<String, SocketAddr>,
}

impl Timeline {
    /// Opens the next connection when its time has come, and judges it.
    ///
    /// # Errors
    /// The kernel refused a run or a call.
    pub(super) fn judge(
        &mut self,
        stage: &mut Stage,
        world: &World<'_>,
        connection: &Connection,
    ) -> Result<Check> {
        if !std::mem::replace(&mut self.begun, true) {
            stage.forget_affinities()?;
        }
        stage.pass_time(connection.at_seconds.saturating_sub(self.now_s))?;
        self.now_s = connection.at_seconds;
        let class = connection.from.unwrap_or_else(|| world.node.class(&connection.src));
        let client = Client { node: world.node, class, ip: connection.src };
        let fate = open(stage, client, connection)?;
        let check = self.check(connection, &client, fate.clone());
        self.chosen.extend(backend(&fate).map(|backend| (connection.id.clone(), backend)));
        Ok(check)
    }

    fn check(&self, connection: &Connection, client: &Client<'_>, fate: Fate) -> Check {
        let expect = &connection.expect;
        let backend = backend(&fate);
        let mut seen = Seen::default();
        seen.add(fate, client);
        let actual = seen.actual();
        let mut differences = actual.odd.clone();
        if actual.verdict != expect.verdict.to_string() {
            differences.push(format!("expected {}, was {}", expect.verdict, actual.verdict));
        } else if expect.verdict == Verdict::Dnat {
            differences.extend(backend.and_then(|backend| self.wrong_backend(connection, backend)));
            differences.extend(wrong_source(expect.snat, actual.snat, client));
        }
        Check {
            name: connection.id.clone(),
            about: format!("{} -> {} at {} s", client.ip, connection.dst(), connection.at_seconds),
            summary: actual.summary(),
            expected: json(expect),
            actual: json(&actual),
            ok: differences.is_empty(),
            differences,
        }
    }

    fn wrong_backend(&self, connection: &Connection, backend: SocketAddr) -> Option<String> {
        let expect = &connection.expect;
        if let Some(earlier) = &expect.same_backend_as {
            return match self.chosen.get(earlier) {
                Some(wanted) if *wanted == backend => None,
                Some(wanted) => Some(format!("went to {backend}, expected {wanted} as {earlier}")),
                None => Some(format!("{earlier} had no backend to come back to")),
            };
        }
        let allowed = expect.backends.is_empty() || expect.backends.contains(&backend);
        (!allowed).then(|| format!("extra    {backend}"))
    }
}

fn open(stage: &mut Stage, client: Client<'_>, connection: &Connection) -> Result<Fate> {
    let (proto, dst) = (connection.proto, connection.dst());
    let _listener = socket::listener(proto, &client, dst);
    let port = connection.src_port.unwrap_or_else(|| stage.next_port());
    Connections { stage, client, proto, dst, number: 0 }.open_from(port)
}

fn wrong_source(wanted: Option<bool>, replaced: bool, client: &Client<'_>) -> Option<String> {
    let wanted = wanted?;
    let wrong = replaced != wanted && (wanted || !client.is_process());
    wrong.then(|| format!("snat     expected {wanted}, was {replaced}"))
}
