//! What the tables add to an explanation.

use super::{Agent, Limits, ROOMY, service};
use crate::compile;
use crate::model::{ObjectName, Service};
use std::collections::BTreeMap;

/// What became of the addresses of a Service that was planned.
fn standings(agent: &Agent, name: &str) -> Vec<String> {
    let name = ObjectName::new("ns", name);
    let none = BTreeMap::new();
    let slices = agent.slices.get(&name).unwrap_or(&none);
    let mut explanation = compile::explanation(&agent.services[&name], slices, &agent.view);
    agent.planner.complete(&mut explanation);
    let ports = explanation.ports.iter().flat_map(|port| &port.frontends);
    ports.map(|one| one.standing.sentence()).collect()
}

#[test]
fn who_holds_a_contested_address_is_named() {
    let mut agent = Agent::new(ROOMY);
    agent.set(service("a", 1));
    agent.set(Service { external_ips: service("a", 1).cluster_ips, ..service("b", 2) });
    assert_eq!(standings(&agent, "a"), ["programmed"]);
    let expect = ["programmed", "it belongs to Service ns/a already"];
    assert_eq!(standings(&agent, "b"), expect);
}

#[test]
fn the_table_that_is_full_is_named() {
    let mut agent = Agent::new(Limits { frontends: 1, ..ROOMY });
    agent.set(service("a", 1));
    agent.set(service("b", 2));
    assert_eq!(standings(&agent, "a"), ["programmed"]);
    assert_eq!(standings(&agent, "b"), ["the table of frontends is full"]);
}

#[test]
fn what_stayed_as_it_was_is_programmed_and_what_did_not_fit_is_not() {
    let mut agent = Agent::new(Limits { frontends: 1, ..ROOMY });
    agent.set(service("a", 1));
    agent.set(Service { external_ips: service("x", 9).cluster_ips, ..service("a", 1) });
    assert_eq!(standings(&agent, "a"), ["programmed", "the table of frontends is full"]);
}
