//! The next agent finds what the last one left.

use super::{Agent, ROOMY, service};
use crate::model::{Algorithm, Service};

fn agent() -> Agent {
    let mut agent = Agent::new(ROOMY);
    agent.set(service("a", 1));
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
    let mut done = agent();
    let edits = done.endpoints("a", &[2, 4, 5]);
    for written in 0..edits.len() {
        let mut agent = agent();
        agent.kernel.apply(&edits[..written]);
        agent.slices.clone_from(&done.slices);
        agent.restart();
        assert_eq!(agent.kernel.meanings(), done.kernel.meanings());
        let cells = |agent: &Agent| agent.kernel.living().len();
        assert_eq!(cells(&agent), cells(&done), "after {written} edits");
        assert_eq!(agent.restart(), []);
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
