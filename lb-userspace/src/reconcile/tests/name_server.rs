//! The agent's own name server has a slot behind those of the endpoints.

use super::{Agent, ROOMY, port, service};
use crate::compile::{NameServer, NodeView};
use crate::model::{Algorithm, Service, TrafficPolicy};
use crate::reconcile::Edit;
use lb_common::algo::maglev;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};

/// Last byte of the agent's address.
const AGENT: u8 = 200;

fn dns() -> Service {
    Service { ports: vec![port("http", 53)], ..service("dns", 1) }
}

fn name_server(last: u8) -> NameServer {
    NameServer { service: dns().name, addrs: vec![([10, 0, 0, last], 8080).into()] }
}

fn set_name_server(agent: &mut Agent, name_server: Option<NameServer>) -> Vec<Edit> {
    agent.set_view(NodeView { name_server, ..agent.view.clone() })
}

/// A Service with these endpoints and an agent in its place.
fn agent(service: Service, endpoints: &[u8]) -> Agent {
    let mut agent = Agent::new(ROOMY);
    set_name_server(&mut agent, Some(name_server(AGENT)));
    agent.set(service);
    agent.endpoints("dns", endpoints);
    agent
}

/// The value of the `ClusterIP`.
fn frontend(agent: &Agent) -> FrontendValue {
    let is_internal = |value: &&FrontendValue| value.kind == FrontendValue::CLUSTER_IP;
    *agent.kernel.tables.frontends.values().find(is_internal).unwrap()
}

/// Last bytes of all that a choice leads to.
fn led(agent: &Agent, choice: Choice) -> Vec<u8> {
    let cells = &agent.kernel.tables.backends;
    agent.kernel.ids(choice).map(|id| cells[&id].addr.low4()[3]).collect()
}

#[test]
fn clients_inside_get_it_before_the_endpoints_and_others_never() {
    let agent = agent(dns(), &[1, 2]);
    let FrontendValue { inside, outside, .. } = frontend(&agent);
    assert_eq!((inside.len, led(&agent, inside)), (2, vec![1, 2, AGENT]));
    assert_eq!((outside.len, led(&agent, outside)), (2, vec![1, 2]));
    let id = agent.kernel.ids(inside).last().unwrap();
    let flags = agent.kernel.tables.backends[&id].flags;
    assert_eq!(flags & BackendValue::AGENT, BackendValue::AGENT);
    let in_a_set = BackendValue::IN_CLUSTER_SET | BackendValue::IN_LOCAL_SET;
    assert_eq!(flags & in_a_set, 0);
}

#[test]
fn a_service_without_endpoints_leads_to_it_alone() {
    let agent = agent(dns(), &[]);
    let FrontendValue { inside, outside, .. } = frontend(&agent);
    assert_eq!((inside.len, led(&agent, inside)), (0, vec![AGENT]));
    assert_eq!((outside.len, led(&agent, outside)), (0, vec![]));
}

#[test]
fn it_is_behind_a_maglev_table_too() {
    let maglev = Service { algorithm: Algorithm::Maglev, ..dns() };
    let agent = agent(maglev, &[1, 2]);
    let inside = frontend(&agent).inside;
    assert_eq!(inside.len as usize, maglev::TABLE_LEN);
    let led = led(&agent, inside);
    let (own, endpoints) = led.split_last().unwrap();
    assert!(*own == AGENT && !endpoints.contains(&AGENT));
}

#[test]
fn where_endpoints_of_this_node_are_wanted_it_comes_before_those() {
    let local = Service { internal_policy: TrafficPolicy::Local, ..dns() };
    let agent = agent(local, &[1, 2]);
    let inside = frontend(&agent).inside;
    assert_eq!((inside.len, led(&agent, inside)), (1, vec![2, AGENT]));
}

#[test]
fn an_endpoint_at_its_address_is_both() {
    let mut agent = Agent::new(ROOMY);
    set_name_server(&mut agent, Some(name_server(2)));
    agent.set(dns());
    agent.endpoints("dns", &[1, 2]);
    let FrontendValue { inside, outside, .. } = frontend(&agent);
    assert_eq!((inside.len, led(&agent, inside)), (2, vec![1, 2, 2]));
    assert_eq!(led(&agent, outside), [1, 2]);
    assert_eq!(agent.kernel.living().len(), 2);
}

#[test]
fn it_comes_and_goes_with_the_setting_and_endpoints_keep_their_cells() {
    let mut agent = agent(dns(), &[1, 2]);
    let endpoints = |agent: &Agent| {
        let mut living = agent.kernel.living();
        living.retain(|(_, addr, _), _| addr.low4()[3] != AGENT);
        living
    };
    let generations = |agent: &Agent| -> Vec<u32> {
        let cells = &agent.kernel.tables.backends;
        let ids = agent.kernel.ids(frontend(agent).outside);
        ids.map(|id| cells[&id].generation).collect()
    };
    let before = endpoints(&agent);
    let first = generations(&agent);
    set_name_server(&mut agent, None);
    assert_eq!(led(&agent, frontend(&agent).inside), [1, 2]);
    assert_eq!(agent.kernel.living(), before);
    set_name_server(&mut agent, Some(name_server(AGENT)));
    assert_eq!(led(&agent, frontend(&agent).inside), [1, 2, AGENT]);
    assert_eq!(endpoints(&agent).len(), before.len());
    // UDP flows of the time without it do not know of it.
    let moved: Vec<u32> = first.iter().map(|generation| generation + 1).collect();
    assert_eq!(generations(&agent), moved);
    assert_eq!(agent.restart(), []);
    assert_eq!(generations(&agent), moved, "it has been there");
}
