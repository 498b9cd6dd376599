//! Tables that are full.

use super::{Agent, Limits, ROOMY};
use crate::model::{AffinityScope, Service};
use std::net::{IpAddr, Ipv4Addr};

/// A Service that needs every table.
fn service(name: &str, ip: u8) -> Service {
    Service {
        load_balancer_ips: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, ip))],
        source_ranges: vec!["203.0.113.0/25".parse().unwrap()],
        affinity_timeout_s: Some(10),
        affinity_scope: AffinityScope::Service,
        ..super::service(name, ip)
    }
}

/// A Service that fills the tables so that one more port, or one more endpoint, does not fit.
fn filled(limits: Limits) -> Agent {
    let mut agent = Agent::new(limits);
    agent.endpoints("a", &[1, 2]);
    agent.set(service("a", 1));
    assert!(agent.problems().is_empty());
    agent
}

const TABLES: [(&str, u32, Limits); 6] = [
    ("service ports", 1, Limits { services: 2, ..ROOMY }),
    ("backends", 2, Limits { backends: 3, ..ROOMY }),
    ("slots", 2, Limits { slots: 2, ..ROOMY }),
    ("frontends", 2, Limits { frontends: 2, ..ROOMY }),
    ("source ranges", 1, Limits { source_ranges: 1, ..ROOMY }),
    ("siblings", 2, Limits { siblings: 2, ..ROOMY }),
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
