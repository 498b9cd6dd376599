//! What `nft -j list table FAMILY kube-proxy` prints, to leads.
//!
//! Read as loosely as it is written: each version of nft and of kube-proxy adds words of its own,
//! of which we need few. So this looks for what it knows and passes over the rest, where a schema
//! of the whole would refuse the table.

use super::{Frontend, Lead, Leads, proto};
use crate::compile::Family;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Maps from addresses or ports to chains; the later ones win, as their chains come first.
const MAPS: [&str; 4] =
    ["service-ips", "service-nodeports", "no-endpoint-services", "no-endpoint-nodeports"];
/// Chains lead to chains: from outside, by policy, to an endpoint.
const DEPTH: u32 = 8;

/// Where frontends of a table lead.
pub(super) fn read(json: &str, family: Family) -> Result<Leads> {
    let document: Value = serde_json::from_str(json).context("reading what nft prints")?;
    let items = list(&document, "/nftables").context("nft printed no list of its objects")?;
    let chains = chains(items);
    let mut leads = Leads::new();
    for name in MAPS {
        let named = |map: &&Value| map.pointer("/map/name").is_some_and(|own| own == name);
        let elements = items.iter().filter(named).filter_map(|map| list(map, "/map/elem"));
        for element in elements.flatten() {
            if let Some([key, verdict]) = element.as_array().map(Vec::as_slice)
                && let Some(frontend) = frontend(key, family)
                && let Some(lead) = lead(verdict, &chains)
            {
                leads.insert(frontend, lead);
            }
        }
    }
    Ok(leads)
}

fn list<'a>(value: &'a Value, path: &str) -> Option<&'a Vec<Value>> {
    value.pointer(path)?.as_array()
}

/// The statements of rules, by chain.
type Chains<'a> = BTreeMap<&'a str, Vec<&'a Vec<Value>>>;

fn chains(items: &[Value]) -> Chains<'_> {
    let mut chains = Chains::new();
    for item in items {
        let chain = item.pointer("/rule/chain").and_then(Value::as_str);
        if let (Some(chain), Some(statements)) = (chain, list(item, "/rule/expr")) {
            chains.entry(chain).or_default().push(statements);
        }
    }
    chains
}

/// A key of a map: address, protocol and port, or protocol and port.
fn frontend(key: &Value, family: Family) -> Option<Frontend> {
    // With a comment the key is one level deeper.
    let key = key.pointer("/elem/val").unwrap_or(key);
    let (addr, name, port) = match list(key, "/concat")?.as_slice() {
        [addr, name, port] => (Some(addr.as_str()?.parse().ok()?), name, port),
        [name, port] => (None, name, port),
        _ => return None,
    };
    let port = u16::try_from(port.as_u64()?).ok()?;
    Some(Frontend { addr, family, port, proto: proto(name.as_str()?)? })
}

fn lead(verdict: &Value, chains: &Chains<'_>) -> Option<Lead> {
    if verdict.get("drop").is_some() {
        return Some(Lead::Dropped);
    }
    let chain = target(verdict)?;
    let refuses = chains.get(chain).into_iter().flatten().any(|rule| has(rule, "reject"));
    if refuses {
        return Some(Lead::Refused);
    }
    let mut endpoints = BTreeSet::new();
    follow(chain, chains, DEPTH, &mut endpoints);
    Some(Lead::To(endpoints))
}

/// Where a verdict leads.
fn target(verdict: &Value) -> Option<&str> {
    ["/goto/target", "/jump/target"].iter().find_map(|path| verdict.pointer(path)?.as_str())
}

fn has(rule: &[Value], word: &str) -> bool {
    rule.iter().any(|statement| statement.get(word).is_some())
}

/// Adds the endpoints that a chain leads everybody to. What it does for some clients only (those
/// that are remembered, those inside) is not looked at.
fn follow(chain: &str, chains: &Chains<'_>, depth: u32, endpoints: &mut BTreeSet<SocketAddr>) {
    if depth == 0 {
        return;
    }
    for rule in chains.get(chain).into_iter().flatten() {
        endpoints.extend(rule.iter().flat_map(dnat));
        if has(rule, "match") {
            continue;
        }
        let choices = rule.iter().filter_map(|one| list(one, "/vmap/data/set"));
        let chosen = choices.flatten().filter_map(|choice| target(choice.get(1)?));
        for next in rule.iter().filter_map(target).chain(chosen) {
            follow(next, chains, depth - 1, endpoints);
        }
    }
}

/// The endpoints of which a statement puts one in place of the frontend: one that it names, or one
/// of a map by a random number.
fn dnat(statement: &Value) -> Vec<SocketAddr> {
    let named = statement.pointer("/dnat/addr").zip(statement.pointer("/dnat/port"));
    let named = named.and_then(|(addr, port)| endpoint(addr, port));
    let choices = list(statement, "/dnat/addr/map/data/set").into_iter().flatten();
    let chosen = choices.filter_map(|choice| match list(choice.get(1)?, "/concat")?.as_slice() {
        [addr, port] => endpoint(addr, port),
        _ => None,
    });
    named.into_iter().chain(chosen).collect()
}

fn endpoint(addr: &Value, port: &Value) -> Option<SocketAddr> {
    let port = u16::try_from(port.as_u64()?).ok()?;
    Some(SocketAddr::new(addr.as_str()?.parse().ok()?, port))
}
