//! Any stream of events, with restarts: see `every_stream_of_events_keeps_every_promise`.

use super::{Agent, Kernel, ROOMY, endpoint, port, service, slice};
use crate::model::{Algorithm, Endpoint, Service, ServiceType, TrafficPolicy};
use lb_common::layout::backend::BackendValue;
use proptest::prelude::*;
use proptest::sample::select;

/// Something happens to an object.
#[derive(Clone, Debug)]
enum Event {
    Service(Box<Service>),
    NoService(&'static str),
    Slice(&'static str, &'static str, Vec<Endpoint>),
    Restart,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Names, addresses and node ports come from small pools, so that they collide.
fn any_service() -> impl Strategy<Value = Service> {
    let policy = || select(&[TrafficPolicy::Cluster, TrafficPolicy::Local][..]);
    let node_port = || proptest::option::of(30000..30002_u16);
    (
        (select(&NAMES[..]), 1..4_u8, 0..3_i64, node_port(), node_port()),
        (policy(), policy(), 1..3_usize, 0..8_u8, proptest::option::of(10..12_u32)),
    )
        .prop_map(|((name, ip, created_s, first, second), rest)| {
            let (external_policy, internal_policy, ports, die, affinity_timeout_s) = rest;
            let mut service = service(name, ip);
            service.ports = vec![port("http", 80), port("https", 443)];
            (service.ports[0].node_port, service.ports[1].node_port) = (first, second);
            service.ports.truncate(ports);
            let algorithm = if die == 0 { Algorithm::Maglev } else { Algorithm::Random };
            let kind = if die == 1 { ServiceType::ClusterIP } else { ServiceType::NodePort };
            Service {
                kind,
                affinity_timeout_s,
                external_policy,
                internal_policy,
                algorithm,
                created_s,
                ..service
            }
        })
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    (1..7_u8, 0..5_u8).prop_map(|(last, state)| {
        let (ready, serving, terminating) = match state {
            0 => (false, true, true),
            1 => (false, false, true),
            2 => (false, false, false),
            _ => (true, true, false),
        };
        Endpoint { ready, serving, terminating, ..endpoint(last) }
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let endpoints = proptest::collection::vec(any_endpoint(), 0..6);
    prop_oneof![
        4 => any_service().prop_map(|service| Event::Service(Box::new(service))),
        2 => select(&NAMES[..]).prop_map(Event::NoService),
        6 => (select(&NAMES[..]), select(&["0", "1"][..]), endpoints)
            .prop_map(|(service, name, endpoints)| Event::Slice(service, name, endpoints)),
        1 => Just(Event::Restart),
    ]
}

fn happen(agent: &mut Agent, event: &Event) {
    match event {
        Event::Service(service) => drop(agent.set(service.as_ref().clone())),
        Event::NoService(name) => drop(agent.remove(name)),
        Event::Slice(service, number, endpoints) => {
            agent.set_slice(slice(&format!("{service}-{number}"), service, endpoints.clone()));
        }
        Event::Restart => restart(agent),
    }
}

/// A restart is seen by nobody.
fn restart(agent: &mut Agent) {
    let before = agent.kernel.clone();
    agent.restart();
    assert_eq!(agent.kernel.meaning(), before.meaning());
    assert_eq!(agent.kernel.living(), before.living());
    assert_eq!(agent.kernel.tables, before.tables);
}

/// What lives keeps its id, and its generation as long as it serves.
fn same_ids(before: &Kernel, after: &Kernel) {
    let serves = |cell: &BackendValue| cell.flags & BackendValue::SERVING != 0;
    let living = after.living();
    for (key, (id, was)) in before.living() {
        let name = before.tables.services[&was.service];
        if after.tables.services.get(&was.service) == Some(&name) {
            let Some((now_id, now)) = living.get(&key) else { continue };
            assert_eq!(*now_id, id);
            let moved = u32::from(serves(&was) && !serves(now));
            assert_eq!(now.generation, was.generation + moved);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After each edit a reader finds no half change (`Kernel::look`), ids and generations stay,
    /// a restart changes nothing, and the end is what the objects mean, however it was reached.
    #[test]
    fn every_stream_of_events_keeps_every_promise(
        events in proptest::collection::vec(any_event(), 1..40),
    ) {
        let mut agent = Agent::new(ROOMY);
        for event in &events {
            let before = agent.kernel.clone();
            happen(&mut agent, event);
            same_ids(&before, &agent.kernel);
        }
        let mut fresh = Agent::new(ROOMY);
        (fresh.services, fresh.slices) = (agent.services.clone(), agent.slices.clone());
        fresh.restart();
        prop_assert_eq!(agent.kernel.meaning(), fresh.kernel.meaning());
        prop_assert_eq!(agent.problems(), fresh.problems());

        for name in agent.services.clone().into_keys() {
            agent.remove(&name.name);
        }
        prop_assert!(agent.kernel.tables.frontends.is_empty());
        prop_assert!(agent.kernel.tables.services.is_empty());
        prop_assert!(agent.kernel.living().is_empty());
        prop_assert!(agent.planner.actual().slots.is_empty());
    }

    /// Tables so small that most does not fit: what is in them stays whole, and what is taken
    /// away leaves room for all of it again.
    #[test]
    fn full_tables_harm_nobody(
        events in proptest::collection::vec(any_event(), 1..40),
        limits in (2..6_u32, 2..12_u32, 1..9_u32, 1..6_u32),
    ) {
        let (services, backends, slots, frontends) = limits;
        let limits = super::Limits { services, backends, slots, frontends };
        let mut agent = Agent::new(limits);
        for event in events.iter().filter(|event| !matches!(event, Event::Restart)) {
            happen(&mut agent, event);
            let tables = &agent.kernel.tables;
            prop_assert!(tables.services.keys().all(|id| *id < services));
            prop_assert!(tables.backends.keys().all(|id| *id < backends));
            prop_assert!(agent.kernel.slots.keys().all(|slot| *slot < slots));
            prop_assert!(tables.frontends.len() <= frontends as usize);
        }
        for name in agent.services.clone().into_keys() {
            agent.remove(&name.name);
        }
        prop_assert!(agent.problems().is_empty());
        agent.set(service("z", 9));
        agent.endpoints("z", &[1]);
        prop_assert_eq!(agent.behind(9), [1]);
    }
}
