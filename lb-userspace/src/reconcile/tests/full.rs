//! Tables that are full.

use super::{Agent, Limits, ROOMY, service};

/// A Service that fills the tables so that one more port, or one more endpoint, does not fit.
fn filled(limits: Limits) -> Agent {
    let mut agent = Agent::new(limits);
    agent.endpoints("a", &[1, 2]);
    agent.set(service("a", 1));
    assert!(agent.problems().is_empty());
    agent
}

const TABLES: [(&str, u32, Limits); 4] = [
    ("service ports", 1, Limits { services: 2, ..ROOMY }),
    ("backends", 2, Limits { backends: 3, ..ROOMY }),
    ("slots", 2, Limits { slots: 2, ..ROOMY }),
    ("frontends", 1, Limits { frontends: 1, ..ROOMY }),
];

#[test]
fn a_service_that_does_not_fit_says_so_and_harms_nobody() {
    for (what, limit, limits) in TABLES {
        let mut agent = filled(limits);
        agent.endpoints("b", &[3]);
        assert_eq!(agent.set(service("b", 2)), []);
        let said = format!(
            "Service ns/b: ns/b:http/TCP (IPv4) does not fit, the table of {what} is full \
             ({limit}); it is not served until there is room"
        );
        assert_eq!(agent.problems(), [said]);
        assert_eq!((agent.behind(1), agent.behind(2)), (vec![1, 2], vec![]));
    }
}

#[test]
fn it_is_served_as_soon_as_there_is_room() {
    for (_, _, limits) in TABLES {
        let mut agent = filled(limits);
        agent.endpoints("b", &[3]);
        agent.set(service("b", 2));
        agent.remove("a");
        assert!(agent.problems().is_empty());
        assert_eq!((agent.behind(1), agent.behind(2)), (vec![], vec![3]));
    }
}

#[test]
fn a_service_that_does_not_fit_any_more_stays_as_it_was() {
    let mut agent = filled(Limits { backends: 4, ..ROOMY });
    assert_eq!(agent.endpoints("a", &[3, 4, 5]), []);
    assert_eq!(agent.behind(1), [1, 2]);
    assert!(agent.problems()[0].ends_with("(3); it stays as it was until there is room"));
    agent.endpoints("a", &[1, 3]);
    assert_eq!((agent.behind(1), agent.problems().len()), (vec![1, 3], 0));
}

#[test]
fn nothing_is_lost_by_trying() {
    for (_, _, limits) in TABLES {
        let mut agent = filled(limits);
        for _ in 0..10 {
            agent.endpoints("b", &[3]);
            agent.set(service("b", 2));
            agent.remove("b");
        }
        agent.remove("a");
        agent.endpoints("c", &[5, 6]);
        agent.set(service("c", 3));
        assert_eq!(agent.behind(3), [5, 6]);
    }
}

#[test]
fn what_stayed_as_it_was_stays_so_over_a_restart() {
    let mut agent = filled(Limits { backends: 4, ..ROOMY });
    agent.endpoints("a", &[3, 4, 5]);
    assert_eq!(agent.restart(), []);
    assert_eq!((agent.behind(1), agent.problems().len()), (vec![1, 2], 1));
}
