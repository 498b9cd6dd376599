//! Who may use guarded frontends.

use super::{Agent, Limits, ROOMY, service};
use crate::model::Service;
use crate::reconcile::Edit;
use lb_common::layout::frontend::FrontendValue;
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::wire::Addr;
use std::net::{IpAddr, Ipv4Addr};

/// A Service whose load-balancer address `192.0.2.<ip>` only clients of `ranges` may use.
fn guarded(name: &str, ip: u8, ranges: &[&str]) -> Service {
    Service {
        load_balancer_ips: vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, ip))],
        source_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        ..service(name, ip)
    }
}

/// The ranges of all service ports: id, address, bits of the address.
fn ranges(agent: &Agent) -> Vec<String> {
    let keys = agent.kernel.tables.source_ranges.keys();
    keys.map(|SourceRangeKey { prefix_len, service, addr }| {
        format!("{service}: {}/{}", Addr(*addr), prefix_len - 32)
    })
    .collect()
}

/// Whether the load-balancer address is guarded, if it is there.
fn is_guarded(agent: &Agent) -> Option<bool> {
    let mut frontends = agent.kernel.tables.frontends.values();
    let own = frontends.find(|value| value.kind == FrontendValue::LOAD_BALANCER)?;
    Some(own.flags & FrontendValue::GUARDED != 0)
}

#[test]
fn ranges_come_before_the_guard_and_go_after_it() {
    let mut agent = Agent::new(ROOMY);
    agent.set(guarded("a", 1, &[]));
    assert_eq!(is_guarded(&agent), Some(false));
    let on = agent.set(guarded("a", 1, &["203.0.113.0/25"]));
    assert!(matches!(on.as_slice(), [Edit::SourceRange(_, true), Edit::Frontend(..)]), "{on:?}");
    assert_eq!(is_guarded(&agent), Some(true));
    assert_eq!(ranges(&agent), ["1: 203.0.113.0/121"]);
    let off = agent.set(guarded("a", 1, &[]));
    assert!(matches!(off.as_slice(), [Edit::Frontend(..), Edit::SourceRange(_, false)]), "{off:?}");
    assert!(ranges(&agent).is_empty());
}

#[test]
fn a_new_range_comes_before_the_old_one_goes() {
    let mut agent = Agent::new(ROOMY);
    agent.set(guarded("a", 1, &["203.0.113.0/25"]));
    let edits = agent.set(guarded("a", 1, &["198.51.100.0/24"]));
    let expect = [
        Edit::SourceRange(key(1, "198.51.100.0", 24), true),
        Edit::SourceRange(key(1, "203.0.113.0", 25), false),
    ];
    assert_eq!(edits, expect);
}

fn key(service: u32, addr: &str, len: u32) -> SourceRangeKey {
    let addr = Addr::from(addr.parse::<IpAddr>().unwrap()).0;
    SourceRangeKey { prefix_len: 32 + 96 + len, service, addr }
}

#[test]
fn each_port_has_its_own_ranges_and_gives_them_back() {
    let mut agent = Agent::new(ROOMY);
    agent.set(guarded("a", 1, &["203.0.113.0/25"]));
    agent.set(guarded("b", 2, &["203.0.113.0/25", "198.51.100.0/24"]));
    assert_eq!(ranges(&agent).len(), 3);
    agent.remove("b");
    assert_eq!(ranges(&agent), ["1: 203.0.113.0/121"]);
}

#[test]
fn a_restart_keeps_the_ranges_and_drops_those_of_a_service_that_is_gone() {
    let mut agent = Agent::new(ROOMY);
    agent.set(guarded("a", 1, &["203.0.113.0/25"]));
    agent.set(guarded("b", 2, &["203.0.113.0/25"]));
    assert_eq!(agent.restart(), []);
    agent.services.remove(&service("b", 2).name);
    agent.restart();
    assert_eq!(ranges(&agent), ["1: 203.0.113.0/121"]);
}

#[test]
fn ranges_that_do_not_fit_leave_the_service_as_it_was() {
    let mut agent = Agent::new(Limits { source_ranges: 1, ..ROOMY });
    agent.set(guarded("a", 1, &["203.0.113.0/25"]));
    let edits = agent.set(guarded("a", 1, &["198.51.100.0/24", "198.51.101.0/24"]));
    assert_eq!((edits.len(), is_guarded(&agent)), (0, Some(true)));
    assert_eq!(ranges(&agent), ["1: 203.0.113.0/121"]);
}
