//! One change after another.

use super::{Agent, ROOMY, endpoint, port, service, slice};
use crate::model::{Algorithm, Endpoint, Service, TrafficPolicy};
use crate::reconcile::Edit;

fn agent() -> Agent {
    let mut agent = Agent::new(ROOMY);
    agent.set(service("web", 1));
    agent.endpoints("web", &[1, 2]);
    agent
}

/// What kinds of edits there are, in order.
fn kinds(edits: &[Edit]) -> String {
    let kind = |edit: &Edit| match edit {
        Edit::Backend(_, cell) if cell.service == 0 => "-backend",
        Edit::Backend(..) => "+backend",
        Edit::Slots(..) => "slots",
        Edit::Service(_, Some(_)) => "+service",
        Edit::Service(_, None) => "-service",
        Edit::Frontend(_, Some(_)) => "+frontend",
        Edit::Frontend(_, None) => "-frontend",
        Edit::Address(_, 0) => "-address",
        Edit::Address(..) => "address",
        Edit::SourceRange(_, true) => "+range",
        Edit::SourceRange(_, false) => "-range",
        Edit::Sibling(_, Some(_)) => "+sibling",
        Edit::Sibling(_, None) => "-sibling",
        Edit::Cidr(..) | Edit::Link(..) => "node",
    };
    edits.iter().map(kind).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_is_pointed_to_is_written_first_and_removed_last() {
    let mut agent = Agent::new(ROOMY);
    assert_eq!(kinds(&agent.endpoints("web", &[1])), "");
    assert_eq!(
        kinds(&agent.set(service("web", 1))),
        "address address +service +backend slots +frontend"
    );
    assert_eq!(
        kinds(&agent.endpoints("web", &[2])),
        "address +backend slots +frontend -backend -address"
    );
    assert_eq!(kinds(&agent.remove("web")), "-frontend -backend -service -address -address");
}

#[test]
fn the_same_objects_again_change_nothing() {
    let mut agent = agent();
    assert_eq!(agent.endpoints("web", &[1, 2]), []);
    assert_eq!(agent.set(service("web", 1)), []);
}

#[test]
fn a_change_touches_nobody_else() {
    let mut agent = agent();
    agent.set(service("other", 2));
    let edits = agent.endpoints("other", &[5]);
    assert_eq!(kinds(&edits), "address +backend slots +frontend");
    assert_eq!((agent.behind(1), agent.behind(2)), (vec![1, 2], vec![5]));
}

/// The generation of the only backend while its endpoint is this.
fn generations(states: &[Endpoint]) -> Vec<u32> {
    let mut agent = Agent::new(ROOMY);
    agent.set(service("web", 1));
    let mut generations = Vec::new();
    for state in states {
        agent.set_slice(slice("web", "web", vec![state.clone()]));
        agent.plan(&service("web", 1).name);
        generations.extend(agent.kernel.living().values().map(|(_, cell)| cell.generation));
    }
    generations
}

#[test]
fn the_generation_moves_once_when_an_endpoint_stops_serving() {
    let serving = Endpoint { ready: false, terminating: true, ..endpoint(1) };
    let gone = Endpoint { serving: false, ..serving.clone() };
    let states = [endpoint(1), serving, gone.clone(), gone, endpoint(1)];
    assert_eq!(generations(&states), [1, 1, 2, 2, 2]);
}

#[test]
fn a_cell_that_is_given_again_has_another_generation() {
    let mut agent = Agent::new(super::Limits { backends: 2, ..ROOMY });
    agent.set(service("web", 1));
    agent.endpoints("web", &[1]);
    agent.endpoints("web", &[]);
    agent.endpoints("web", &[2]);
    assert_eq!((agent.behind(1), agent.kernel.tables.backends[&1].generation), (vec![2], 2));
}

#[test]
fn a_port_that_changes_its_name_is_never_away() {
    let mut agent = agent();
    let ports = vec![crate::model::ServicePort { name: "https".to_owned(), ..port("", 80) }];
    let edits = agent.set(Service { ports, ..service("web", 1) });
    assert!(!edits.iter().any(|edit| matches!(edit, Edit::Frontend(_, None))), "{edits:?}");
    assert_eq!(agent.behind(1), [1, 2]);
}

#[test]
fn both_sets_share_a_range_if_they_are_the_same() {
    let mut agent = Agent::new(ROOMY);
    agent.set(Service { internal_policy: TrafficPolicy::Local, ..service("web", 1) });
    agent.endpoints("web", &[2, 4]);
    let mut both = service("web", 1);
    both.ports[0].node_port = Some(30080);
    agent.set(Service { internal_policy: TrafficPolicy::Local, ..both });
    assert_eq!(agent.planner.actual().slots.len(), 1);
    agent.endpoints("web", &[2, 4, 5]);
    assert_eq!(agent.planner.actual().slots.len(), 2);
    assert_eq!(agent.behind(1), [2, 4]);
}

#[test]
fn a_maglev_service_has_a_whole_table_and_every_endpoint_is_in_it() {
    let mut agent = agent();
    agent.set(Service { algorithm: Algorithm::Maglev, ..service("web", 1) });
    let behind = agent.behind(1);
    assert_eq!(behind.len(), lb_common::algo::maglev::TABLE_LEN);
    assert!(behind.contains(&1) && behind.contains(&2));
}
