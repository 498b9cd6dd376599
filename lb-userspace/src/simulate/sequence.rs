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

/// Judges all of them.
///
/// # Errors
/// The kernel refused a run or a call.
pub(super) fn sequence(
    stage: &mut Stage,
    world: &World<'_>,
    connections: &[Connection],
) -> Result<Vec<Check>> {
    let mut now_s = 0;
    let mut chosen = BTreeMap::new();
    let mut checks = Vec::new();
    for connection in connections {
        stage.pass_time(connection.at_seconds.saturating_sub(now_s))?;
        now_s = connection.at_seconds;
        let class = connection.from.unwrap_or_else(|| world.node.class(&connection.src));
        let client = Client { node: world.node, class, ip: connection.src };
        let fate = open(stage, client, connection)?;
        checks.push(check(connection, &client, &fate, &chosen));
        chosen.extend(backend(&fate).map(|backend| (connection.id.clone(), backend)));
    }
    Ok(checks)
}

fn open(stage: &mut Stage, client: Client<'_>, connection: &Connection) -> Result<Fate> {
    let dst = SocketAddr::new(connection.dst, connection.dst_port);
    let _listener = socket::listener(connection.proto, &client, dst);
    let port = connection.src_port.unwrap_or_else(|| stage.next_port());
    let proto = connection.proto;
    Connections { stage, client, proto, dst, number: 0 }.open_from(port)
}

fn check(
    connection: &Connection,
    client: &Client<'_>,
    fate: &Fate,
    chosen: &BTreeMap<String, SocketAddr>,
) -> Check {
    let expect = &connection.expect;
    let mut seen = Seen::default();
    seen.add(fate.clone(), client);
    let mut differences = Vec::new();
    let verdict = seen.actual().verdict;
    if verdict != expect.verdict.to_string() {
        differences.push(format!("expected {}, was {verdict}", expect.verdict));
    } else if expect.verdict == Verdict::Dnat {
        differences.extend(wrong_backend(connection, backend(fate), chosen));
        differences.extend(wrong_source(connection, &seen, client));
    }
    let actual = seen.actual();
    differences.extend(actual.odd.iter().cloned());
    Check {
        name: connection.id.clone(),
        about: format!("at {} s from {}", connection.at_seconds, connection.src),
        summary: actual.summary(),
        expected: json(expect),
        actual: json(&actual),
        ok: differences.is_empty(),
        differences,
    }
}

fn wrong_backend(
    connection: &Connection,
    backend: Option<SocketAddr>,
    chosen: &BTreeMap<String, SocketAddr>,
) -> Option<String> {
    let backend = backend?;
    let expect = &connection.expect;
    if let Some(earlier) = &expect.same_backend_as {
        return match chosen.get(earlier) {
            Some(wanted) if *wanted == backend => None,
            Some(wanted) => Some(format!("went to {backend}, expected {wanted} as {earlier}")),
            None => Some(format!("{earlier} had no backend to come back to")),
        };
    }
    let allowed = expect.backends.is_empty() || expect.backends.contains(&backend);
    (!allowed).then(|| format!("extra    {backend}"))
}

fn wrong_source(connection: &Connection, seen: &Seen, client: &Client<'_>) -> Option<String> {
    let wanted = connection.expect.snat?;
    let replaced = seen.actual().snat;
    let wrong = replaced != wanted && (wanted || !client.is_process());
    wrong.then(|| format!("snat     expected {wanted}, was {replaced}"))
}
