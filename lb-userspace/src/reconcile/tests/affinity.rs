//! One endpoint over all ports of a Service.

use super::{Agent, ROOMY, port, service, slice};
use crate::model::{AffinityScope, EndpointPort, Protocol, Service};
use crate::reconcile::Edit;
use lb_common::layout::frontend::FrontendValue;
use std::collections::BTreeMap;

/// A Service with these ports that remembers clients for all of them together.
fn sticky(ports: &[&str]) -> Service {
    let numbers = BTreeMap::from([("http", 80), ("https", 443), ("dns", 53)]);
    Service {
        ports: ports.iter().map(|name| port(name, numbers[name])).collect(),
        affinity_timeout_s: Some(10),
        affinity_scope: AffinityScope::Service,
        ..service("web", 1)
    }
}

/// The id under which clients of each port are remembered, by port number.
fn memories(agent: &Agent) -> BTreeMap<u16, u32> {
    let frontends = agent.kernel.tables.frontends.iter();
    frontends.map(|(key, value)| (key.port.number(), value.affinity)).collect()
}

/// Siblings: id of the port, last byte of the address, port of the backend.
fn siblings(agent: &Agent) -> Vec<(u32, u8, u16)> {
    let tables = &agent.kernel.tables;
    let line = |(key, id): (&lb_common::layout::affinity::SiblingKey, &u32)| {
        (key.service, key.addr.low4()[3], tables.backends[id].port.number())
    };
    let mut lines: Vec<_> = tables.siblings.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

fn agent() -> Agent {
    let mut agent = Agent::new(ROOMY);
    agent.endpoints("web", &[1, 2]);
    agent.set(sticky(&["http", "https"]));
    agent
}

#[test]
fn all_ports_share_one_memory_and_know_each_others_endpoints() {
    let agent = agent();
    assert_eq!(memories(&agent), BTreeMap::from([(80, 1), (443, 1)]));
    let expect = [(1, 1, 8080), (1, 2, 8080), (2, 1, 8443), (2, 2, 8443)];
    assert_eq!(siblings(&agent), expect);
    let shared = |value: &FrontendValue| value.flags & FrontendValue::SHARED_AFFINITY != 0;
    assert!(agent.kernel.tables.frontends.values().all(shared));
}

#[test]
fn without_the_annotation_each_port_remembers_by_itself() {
    let mut agent = agent();
    agent.set(Service { affinity_scope: AffinityScope::Port, ..sticky(&["http", "https"]) });
    assert_eq!(memories(&agent), BTreeMap::from([(80, 1), (443, 2)]));
    assert!(siblings(&agent).is_empty());
    let plain = |value: &FrontendValue| value.flags == 0;
    assert!(agent.kernel.tables.frontends.values().all(plain));
}

#[test]
fn a_port_that_comes_or_goes_makes_nobody_forget() {
    let mut agent = agent();
    agent.set(sticky(&["dns", "http", "https"]));
    assert_eq!(memories(&agent), BTreeMap::from([(53, 1), (80, 1), (443, 1)]));
    agent.set(sticky(&["dns", "http"]));
    assert_eq!(memories(&agent), BTreeMap::from([(53, 1), (80, 1)]));
}

#[test]
fn when_the_port_whose_id_is_used_goes_the_others_agree_on_another_one() {
    let mut agent = agent();
    let edits = agent.set(sticky(&["https"]));
    assert_eq!(memories(&agent), BTreeMap::from([(443, 2)]));
    assert!(edits.iter().any(|edit| matches!(edit, Edit::Sibling(_, None))), "{edits:?}");
    assert_eq!(siblings(&agent), [(2, 1, 8443), (2, 2, 8443)]);
}

#[test]
fn the_memory_is_the_same_after_a_restart() {
    let mut agent = agent();
    agent.set(sticky(&["https"]));
    agent.set(sticky(&["http", "https"]));
    let before = memories(&agent);
    assert_eq!(before, BTreeMap::from([(80, 2), (443, 2)]));
    assert_eq!(agent.restart(), []);
    assert_eq!(memories(&agent), before);
}

#[test]
fn only_endpoints_that_may_be_chosen_are_siblings() {
    let mut agent = Agent::new(ROOMY);
    agent.set(sticky(&["http"]));
    let mut endpoints = vec![super::endpoint(1), super::endpoint(2)];
    endpoints[0].ready = false;
    agent.set_slice(slice("web", "web", endpoints));
    assert_eq!(siblings(&agent), [(1, 2, 8080)]);
}

#[test]
fn of_two_ports_at_one_address_the_first_is_the_sibling() {
    let mut agent = Agent::new(ROOMY);
    agent.set(sticky(&["http"]));
    let mut twice = slice("web", "web", vec![super::endpoint(1)]);
    let (name, protocol) = ("http".to_owned(), Protocol::Tcp);
    twice.ports.push(EndpointPort { name, protocol, port: 7070 });
    agent.set_slice(twice);
    assert_eq!(siblings(&agent), [(1, 1, 7070)]);
}

#[test]
fn siblings_go_before_their_backends() {
    let mut agent = agent();
    let edits = agent.endpoints("web", &[2]);
    let at = |which: fn(&Edit) -> bool| edits.iter().position(which).unwrap();
    let sibling = at(|edit| matches!(edit, Edit::Sibling(_, None)));
    let cell = at(|edit| matches!(edit, Edit::Backend(_, cell) if cell.service == 0));
    assert!(sibling < cell);
}
