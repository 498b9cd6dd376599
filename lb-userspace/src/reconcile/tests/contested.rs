//! Several Services claim one address: the oldest holds it, then the first by name.

use super::{Agent, ROOMY, port, service};
use crate::model::Service;
use crate::reconcile::Edit;

/// `created` of the Services "a" and "b", which claim one `ClusterIP`, in both orders of arrival.
/// `expect`: whose backend it leads to: 1 is that of "a", 2 that of "b".
#[track_caller]
fn check(created: (i64, i64), expect: u8) {
    for turned in [false, true] {
        let mut services = [("a", created.0, 1), ("b", created.1, 2)];
        if turned {
            services.reverse();
        }
        let mut agent = Agent::new(ROOMY);
        for (name, created_s, backend) in services {
            agent.endpoints(name, &[backend]);
            agent.set(Service { created_s, ..service(name, 9) });
        }
        assert_eq!(agent.behind(9), [expect]);
        let loser = if expect == 1 { "b" } else { "a" };
        let holder = if expect == 1 { "a" } else { "b" };
        let said = format!(
            "Service ns/{loser}: 10.96.0.9:80/TCP belongs to Service ns/{holder} already, and \
             stays there"
        );
        assert_eq!(agent.problems(), [said]);
    }
}

#[test]
fn the_older_service_holds_an_address() {
    check((1, 2), 1);
    check((2, 1), 2);
}

#[test]
fn of_equally_old_services_the_first_by_name_holds_it() {
    check((1, 1), 1);
}

fn contested() -> Agent {
    let mut agent = Agent::new(ROOMY);
    for (name, backend) in [("a", 1), ("b", 2)] {
        agent.endpoints(name, &[backend]);
        agent.set(service(name, 9));
    }
    agent
}

#[test]
fn when_the_holder_goes_the_next_one_takes_over_without_a_gap() {
    let mut agent = contested();
    let edits = agent.remove("a");
    assert!(!edits.iter().any(|edit| matches!(edit, Edit::Frontend(_, None))), "{edits:?}");
    assert_eq!(agent.behind(9), [2]);
    assert!(agent.problems().is_empty());
}

#[test]
fn when_the_holder_moves_away_the_next_one_takes_over() {
    let mut agent = contested();
    agent.set(service("a", 8));
    assert_eq!((agent.behind(8), agent.behind(9)), (vec![1], vec![2]));
}

#[test]
fn who_waits_for_an_address_takes_over_with_its_endpoints_of_that_moment() {
    let mut agent = contested();
    agent.endpoints("b", &[3, 4]);
    assert_eq!(agent.behind(9), [1]);
    agent.remove("a");
    assert_eq!(agent.behind(9), [3, 4]);
}

#[test]
fn the_holder_stays_over_a_restart_although_the_next_one_is_planned_first() {
    let mut agent = Agent::new(ROOMY);
    agent.endpoints("a", &[1]);
    agent.set(Service { created_s: 2, ..service("a", 9) });
    agent.endpoints("b", &[2]);
    agent.set(Service { created_s: 1, ..service("b", 9) });
    let edits = agent.restart();
    assert!(!edits.iter().any(|edit| matches!(edit, Edit::Frontend(..))), "{edits:?}");
    assert_eq!(agent.behind(9), [2]);
}

#[test]
fn two_ports_of_one_service_with_one_node_port_are_a_problem_of_that_service() {
    let mut web = service("web", 1);
    web.ports = vec![port("https", 443), port("http", 80)];
    web.ports.iter_mut().for_each(|port| port.node_port = Some(30080));
    let mut agent = Agent::new(ROOMY);
    agent.set(web);
    let said = "Service ns/web: node port 30080/TCP belongs to another port of this Service \
                already, and stays there";
    assert_eq!(agent.problems(), [said]);
}
