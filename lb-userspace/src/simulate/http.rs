//! Questions to the health check server: over real sockets, in the private namespace.

use super::expect::Reply;
use super::expect::facts::{Expectations, Health};
use super::network::Network;
use super::report::{Check, json};
use super::scenario::{Request, Step};
use super::world::World;
use crate::compile::Family;
use crate::compile::health::{self, listen_addrs};
use crate::health::{Proxy, Server};
use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Brings the server to what the objects want now.
pub(super) fn settle(server: &mut Server, world: &World<'_>, step: &Step) {
    server.set_addrs(listen_addrs(world.node.ips.iter().copied(), &world.node.port_ranges()));
    server.set_proxy(Proxy { healthy: step.proxy_healthy.unwrap_or(true), node_eligible: true });
    server.apply(&health::desired(&world.snapshot));
}

/// Judges all that is asked of the server.
///
/// # Errors
/// A socket could not be made.
pub(super) fn judge(network: &Network, world: &World<'_>, step: &Step) -> Result<Vec<Check>> {
    let mut checks = health_checks(network, world, &step.expected)?;
    let addrs = addrs(world);
    for request in &step.http {
        checks.push(request_check(network, &addrs, request)?);
    }
    for port in &step.http_closed {
        checks.push(closed(network, &addrs, *port)?);
    }
    Ok(checks)
}

/// `expectHealth`.
fn health_checks(
    network: &Network,
    world: &World<'_>,
    expected: &Expectations,
) -> Result<Vec<Check>> {
    let known = health::desired(&world.snapshot);
    let mut checks = Vec::new();
    for (name, wanted) in &expected.health {
        let named = known.iter().find(|(service, _)| service.to_string() == *name);
        let told = match named {
            Some((_, check)) => told(network, world, check)?,
            None => None,
        };
        checks.push(Check::fact(format!("expectHealth {name}"), &Some(wanted.clone()), &told));
    }
    Ok(checks)
}

/// What is answered about a Service; `None`: nothing, or nothing that can be understood.
fn told(network: &Network, world: &World<'_>, check: &health::Check) -> Result<Option<Health>> {
    let of_service = |ip: &IpAddr| check.local_endpoints.contains_key(&Family::of((*ip).into()));
    let addrs: Vec<IpAddr> = addrs(world).into_iter().filter(of_service).collect();
    let Some(answer) = network.block_on(ask(&addrs, check.port, "/"))? else { return Ok(None) };
    let count = answer.body.get("localEndpoints").and_then(Value::as_u64);
    Ok(count.and_then(|count| usize::try_from(count).ok()).map(|local_ready_endpoints| Health {
        port: check.port,
        local_ready_endpoints,
        http_status: answer.status,
    }))
}

/// Addresses by which the server is reached, whatever it listens at.
fn addrs(world: &World<'_>) -> Vec<IpAddr> {
    let listened = listen_addrs(world.node.ips.iter().copied(), &world.node.port_ranges());
    let reachable = listened.into_iter().map(|ip| match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    });
    reachable.collect()
}

fn request_check(network: &Network, addrs: &[IpAddr], request: &Request) -> Result<Check> {
    let Request { name, port, path, expect } = request;
    let about = format!("GET {path} at port {port}");
    let answer = network.block_on(ask(addrs, *port, path))?;
    let differences = match &answer {
        Some(answer) => answer.differences(expect),
        None => vec![format!("nobody listens at port {port}")],
    };
    let headers = expect.headers.keys();
    let actual = answer.map(|answer| answer.with_headers(headers));
    Ok(Check {
        name: name.clone().unwrap_or_else(|| about.clone()),
        about,
        summary: actual.as_ref().map_or("closed".to_owned(), |reply| reply.status.to_string()),
        expected: json(expect),
        actual: json(&actual),
        ok: differences.is_empty(),
        differences,
    })
}

/// `httpClosed`.
fn closed(network: &Network, addrs: &[IpAddr], port: u16) -> Result<Check> {
    let answer = network.block_on(ask(addrs, port, "/"))?;
    let actual = if answer.is_some() { "open" } else { "closed" };
    Ok(Check::fact(format!("httpClosed {port}"), &"closed", &actual))
}

/// What the server said.
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    /// A text that is no JSON is a JSON string.
    body: Value,
}

impl Answer {
    fn differences(&self, expect: &Reply) -> Vec<String> {
        let mut found = Vec::new();
        if self.status != expect.status {
            found.push(format!("status: expected {}, was {}", expect.status, self.status));
        }
        if let Some(body) = expect.body.as_ref().filter(|body| **body != self.body) {
            found.push(format!("body: expected {body}, was {}", self.body));
        }
        for (name, wanted) in &expect.headers {
            match self.header(name) {
                Some(value) if value == wanted => {}
                Some(value) => found.push(format!("{name}: expected {wanted}, was {value}")),
                None => found.push(format!("{name}: expected {wanted}, was absent")),
            }
        }
        found
    }

    fn header(&self, name: &str) -> Option<&String> {
        self.headers.get(&name.to_ascii_lowercase())
    }

    /// The answer with those of its headers that are asked for.
    fn with_headers<'a>(self, names: impl Iterator<Item = &'a String>) -> Reply {
        let named = names.filter_map(|name| Some((name.clone(), self.header(name)?.clone())));
        let headers = named.collect();
        Reply { status: self.status, body: Some(self.body), headers }
    }
}

/// Asks at the first of these addresses that is listened at; `None`: none is.
async fn ask(addrs: &[IpAddr], port: u16, path: &str) -> Result<Option<Answer>> {
    for to in addrs.iter().map(|ip| SocketAddr::new(*ip, port)) {
        let stream = match TcpStream::connect(to).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error).with_context(|| format!("connecting to {to}")),
        };
        let answer = tokio::time::timeout(PATIENCE, get(stream, path)).await;
        let answer = answer.with_context(|| format!("waiting {PATIENCE:?} for {to}"))?;
        return answer.with_context(|| format!("asking {to}")).map(Some);
    }
    Ok(None)
}

async fn get(stream: TcpStream, path: &str) -> Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request =
        hyper::Request::get(path).header("Host", "localhost").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = answer.headers().iter().filter_map(header).collect();
    let bytes = answer.into_body().collect().await?.to_bytes();
    driver.abort();
    let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
    Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()) })
}
