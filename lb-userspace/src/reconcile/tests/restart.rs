//! The next agent finds what the last one left.

use super::{Agent, ROOMY, port, service};
use crate::model::{AffinityScope, Algorithm, Service};
use crate::reconcile::{Edit, Tables};

/// A Service of two ports that needs every table.
fn full_service() -> Service {
    Service {
        ports: vec![port("http", 80), port("https", 443)],
        load_balancer_ips: vec!["192.0.2.1".parse().unwrap()],
        source_ranges: vec!["203.0.113.0/25".parse().unwrap()],
        affinity_timeout_s: Some(10),
        affinity_scope: AffinityScope::Service,
        ..service("a", 1)
    }
}

fn agent() -> Agent {
    let mut agent = Agent::new(ROOMY);
    agent.set(full_service());
    agent.endpoints("a", &[1, 2]);
    agent.set(Service { algorithm: Algorithm::Maglev, ..service("b", 2) });
    agent.endpoints("b", &[2, 3]);
    agent
}

#[test]
fn a_restart_writes_nothing() {
    assert_eq!(agent().restart(), []);
}

#[test]
fn what_vanished_meanwhile_goes_away_and_its_cells_are_free() {
    let mut agent = agent();
    agent.services.remove(&service("b", 2).name);
    agent.restart();
    assert_eq!((agent.behind(1), agent.behind(2)), (vec![1, 2], vec![]));
    let free: Vec<u32> = agent
        .kernel
        .tables
        .backends
        .values()
        .filter(|cell| cell.service == 0)
        .map(|cell| cell.generation)
        .collect();
    assert_eq!(free, [2, 2]);
}

#[test]
fn ids_are_the_same_although_services_are_planned_in_another_order() {
    let mut agent = agent();
    agent.remove("a");
    agent.set(service("a", 1));
    let before = agent.kernel.living();
    agent.restart();
    assert_eq!(agent.kernel.living(), before);
}

/// The agent ends after each of the edits of an update in turn.
#[test]
fn an_update_that_was_cut_off_anywhere_is_finished() {
    let open = Service { source_ranges: Vec::new(), ..full_service() };
    let other = vec!["198.51.100.0/24".parse().unwrap()];
    let updates: [&dyn Fn(&mut Agent) -> Vec<Edit>; 5] = [
        &|agent| agent.endpoints("a", &[2, 4, 5]),
        &|agent| agent.set(open.clone()),
        &|agent| agent.set(Service { source_ranges: other.clone(), ..full_service() }),
        &|agent| agent.set(Service { ports: vec![port("https", 443)], ..full_service() }),
        &|agent| agent.remove("a"),
    ];
    for update in updates {
        let mut done = agent();
        let edits = update(&mut done);
        for written in 0..edits.len() {
            let mut agent = agent();
            agent.kernel.apply(&edits[..written]);
            (agent.services, agent.slices) = (done.services.clone(), done.slices.clone());
            agent.restart();
            assert_eq!(agent.kernel.meanings(), done.kernel.meanings());
            let cells = |agent: &Agent| agent.kernel.living().len();
            assert_eq!(cells(&agent), cells(&done), "after {written} edits");
            let Tables { source_ranges, siblings, addresses, .. } = &agent.kernel.tables;
            assert_eq!(source_ranges.len(), done.kernel.tables.source_ranges.len());
            assert_eq!(siblings.len(), done.kernel.tables.siblings.len());
            assert_eq!(*addresses, done.kernel.tables.addresses);
            assert_eq!(agent.restart(), []);
        }
    }
}

#[test]
fn entries_that_nobody_is_named_for_are_removed() {
    let mut agent = agent();
    let id = *agent.kernel.tables.services.keys().next().unwrap();
    agent.kernel.tables.services.remove(&id);
    agent.services.remove(&service("a", 1).name);
    agent.planner = super::Planner::adopt(agent.kernel.read(), ROOMY);
    let mut edits = agent.planner.update(&service("b", 2).name, None);
    edits.extend(agent.planner.forget_unplanned());
    for edit in &edits {
        agent.kernel.tables.apply(edit);
    }
    assert!(agent.kernel.tables.frontends.is_empty());
    assert!(agent.kernel.living().is_empty());
}

/// `Kernel::look` would find a frontend that points to somebody else's backends.
#[test]
fn ranges_in_use_are_not_given_away_before_their_services_are_planned() {
    let mut agent = agent();
    agent.planner = super::Planner::adopt(agent.kernel.read(), ROOMY);
    agent.set(service("c", 3));
    agent.endpoints("c", &[7, 8, 9]);
    assert_eq!((agent.behind(1), agent.behind(3)), (vec![1, 2], vec![7, 8, 9]));
}
