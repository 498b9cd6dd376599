//! The claims in order, as a chapter about Services makes them.

use super::super::tell::{heading, tick};
use super::check::{answers, port, spread, stay, visit};
use crate::lab::agent::Agent;
use crate::lab::kubia::{HTTP, HTTPS};
use crate::lab::traffic::connect;
use crate::lab::{Host, Kubia};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PODS: [&str; 3] = ["kubia-1", "kubia-2", "kubia-3"];

/// How long a change of the manifests may take to reach the kernel.
const CHANGE: Duration = Duration::from_secs(5);

/// What the story happens on.
pub(super) struct Stage {
    /// Goes first: it lets go of the links before they go.
    pub(super) agent: Agent,
    /// The folder that the agent reads.
    pub(super) manifests: PathBuf,
    /// The hosts.
    pub(super) network: Kubia,
}

impl Stage {
    /// Those who connect, as they are called.
    fn clients(&self) -> [(&'static str, &Host); 3] {
        let Kubia { shell, node, client, .. } = &self.network;
        [("from a pod", shell), ("from the node", node), ("from outside", client)]
    }
}

/// Tells all of it; stops at the first claim that does not hold.
pub(super) fn tell(stage: &Stage) -> Result<()> {
    one_address(stage)?;
    several_ports(stage)?;
    affinity(stage)?;
    node_port(stage)?;
    external(stage)?;
    departure(stage)
}

fn one_address(stage: &Stage) -> Result<()> {
    heading("One address for all pods (Service kubia)");
    for address in ["10.96.0.10:80", "[fd00:10:96::10]:80"] {
        for (who, host) in stage.clients() {
            visit(who, host, address, |report| spread(report, &PODS))?;
        }
    }
    Ok(())
}

fn several_ports(stage: &Stage) -> Result<()> {
    heading("Several ports: 80 by name, 443 by number");
    let shell = &stage.network.shell;
    for (address, expected) in [("10.96.0.10:80", HTTP), ("10.96.0.10:443", HTTPS)] {
        let report = visit("from a pod", shell, address, |report| spread(report, &PODS))?;
        port(&report, expected)?;
        tick(&format!("{:14} {address:<22} is port {expected} of the pods", ""));
    }
    Ok(())
}

fn affinity(stage: &Stage) -> Result<()> {
    heading("sessionAffinity: ClientIP (Service kubia-affinity)");
    for (who, host) in stage.clients() {
        visit(who, host, "10.96.0.11:80", stay)?;
    }
    Ok(())
}

fn node_port(stage: &Stage) -> Result<()> {
    heading("A port of the node (Service kubia-nodeport)");
    for (who, host) in stage.clients() {
        visit(who, host, "192.0.2.2:30123", |report| spread(report, &PODS))?;
    }
    let chosen = cluster_ip(&stage.agent, "kubia-nodeport")?;
    tick(&format!("a cluster address was chosen for it: {chosen}"));
    let address = SocketAddr::new(chosen, 80).to_string();
    visit("from a pod", &stage.network.shell, &address, |report| spread(report, &PODS))?;
    Ok(())
}

fn external(stage: &Stage) -> Result<()> {
    heading("Endpoints by hand: 11.11.11.11 and 22.22.22.22 (Service external-service)");
    for (who, host) in stage.clients() {
        visit(who, host, "10.96.0.12:80", |report| spread(report, &["external-1", "external-2"]))?;
    }
    Ok(())
}

fn departure(stage: &Stage) -> Result<()> {
    heading("A pod goes: pod-kubia-3.yaml is removed");
    let file = stage.manifests.join("pod-kubia-3.yaml");
    fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
    let shell = &stage.network.shell;
    let [first, second, third] = PODS;
    let elapsed = forgotten(shell, "10.96.0.10:80".parse()?, third)?;
    tick(&format!("{third} gets no connections any more after {} ms", elapsed.as_millis()));
    for (who, host) in stage.clients() {
        visit(who, host, "10.96.0.10:80", |report| spread(report, &[first, second]))?;
    }
    Ok(())
}

/// Waits until `name` does not answer any more.
fn forgotten(host: &Host, to: SocketAddr, name: &str) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let report = host.connect(&connect::Options::to(to).count(30))?;
        let elapsed = started.elapsed();
        if !report.replies.contains_key(name) {
            return Ok(elapsed);
        }
        if elapsed > CHANGE {
            bail!("expected no answers of {name} after {CHANGE:?}, seen {}", answers(&report));
        }
    }
}

/// The first cluster address of a Service, as `lbctl` tells it.
fn cluster_ip(agent: &Agent, service: &str) -> Result<IpAddr> {
    let text = agent.lbctl(&["get", "services", "-o", "json"])?;
    let json: Value = serde_json::from_str(&text).context("reading what lbctl says")?;
    let address = find(&json, service).with_context(|| format!("{service} is not in {text}"))?;
    address.parse().with_context(|| format!("{address:?} is not an address"))
}

fn find<'a>(services: &'a Value, name: &str) -> Option<&'a str> {
    let items = services.get("items")?.as_array()?;
    let named = items.iter().find(|service| service.get("name").is_some_and(|n| n == name));
    named?.pointer("/cluster_ips/0")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_the_services_name() {
        let json = serde_json::json!({ "items": [
            { "namespace": "default", "name": "a", "cluster_ips": ["10.96.0.1"] },
            { "namespace": "default", "name": "b", "cluster_ips": ["10.96.0.2"] },
        ] });
        assert_eq!(find(&json, "b"), Some("10.96.0.2"));
        assert_eq!(find(&json, "c"), None);
    }
}
