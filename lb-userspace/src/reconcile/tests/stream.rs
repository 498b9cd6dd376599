//! Any stream of events, with restarts: see `every_stream_of_events_keeps_every_promise`.

use super::{Agent, Kernel, ROOMY, endpoint, port, service, slice};
use crate::compile::{NameServer, NodeView};
use crate::model::{AffinityScope, Algorithm, Endpoint, Service, ServiceType, TrafficPolicy};
use crate::reconcile::Tables;
use crate::reconcile::planner::NodeTables;
use ipnet::IpNet;
use lb_common::layout::backend::BackendValue;
use lb_common::wire::Addr;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Something happens to an object or to the node.
#[derive(Clone, Debug)]
enum Event {
    Service(Box<Service>),
    NoService(&'static str),
    /// A slice, by its name, is now that of a Service.
    Slice(&'static str, &'static str, Vec<Endpoint>),
    /// The node's addresses that serve node ports, and whether ping is answered.
    Node(NodeTables),
    /// The node's primary addresses.
    Primary(Vec<IpAddr>),
    /// The agent takes the place of a Service, or of none.
    NameServer(Option<NameServer>),
    Restart,
}

// Names, addresses, ranges and node ports come from small pools, so that they collide.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const RANGES: [&str; 4] = ["203.0.113.0/25", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/64"];

/// Addresses that may be anybody's: external ones, a load balancer's, the node's.
fn public() -> Vec<IpAddr> {
    let v6 = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last));
    let v4 = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    vec![v4(1), v4(2), v6(1), v6(2)]
}

/// What of a Service is about its addresses.
fn any_addresses() -> impl Strategy<Value = Service> {
    let node_port = || option::of(30000..30002_u16);
    let some = |max| subsequence(public(), 0..=max);
    let ranges = subsequence(RANGES.to_vec(), 0..3);
    (select(&NAMES[..]), 1..4_u8, any::<bool>(), node_port(), node_port(), some(2), some(2), ranges)
        .prop_map(|(name, ip, dual, first, second, external_ips, load_balancer_ips, ranges)| {
            let mut service = service(name, ip);
            if dual {
                let v6 = Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, ip.into());
                service.cluster_ips.push(v6.into());
            }
            service.ports = vec![port("http", 80), port("https", 53)];
            (service.ports[0].node_port, service.ports[1].node_port) = (first, second);
            let source_ranges = ranges.iter().map(|range| range.parse::<IpNet>().unwrap());
            let source_ranges = source_ranges.collect();
            Service { external_ips, load_balancer_ips, source_ranges, ..service }
        })
}

fn any_service() -> impl Strategy<Value = Service> {
    let policy = || select(&[TrafficPolicy::Cluster, TrafficPolicy::Local][..]);
    let scope = select(&[AffinityScope::Port, AffinityScope::Service][..]);
    let affinity = (option::of(10..12_u32), scope);
    (any_addresses(), 0..3_i64, policy(), policy(), 1..3_usize, 0..8_u8, affinity).prop_map(
        |(mut service, created_s, external_policy, internal_policy, ports, die, affinity)| {
            service.ports.truncate(ports);
            Service {
                kind: if die == 1 { ServiceType::ClusterIP } else { ServiceType::NodePort },
                algorithm: if die == 0 { Algorithm::Maglev } else { Algorithm::Random },
                affinity_timeout_s: affinity.0,
                affinity_scope: affinity.1,
                external_policy,
                internal_policy,
                created_s,
                ..service
            }
        },
    )
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    (1..7_u8, 0..5_u8, any::<bool>()).prop_map(|(last, state, v6)| {
        let (ready, serving, terminating) = match state {
            0 => (false, true, true),
            1 => (false, false, true),
            2 => (false, false, false),
            _ => (true, true, false),
        };
        let mut endpoint = Endpoint { ready, serving, terminating, ..endpoint(last) };
        if v6 {
            endpoint.address = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into();
        }
        endpoint
    })
}

fn any_node() -> impl Strategy<Value = NodeTables> {
    (btree_set(select(public()), 0..4), any::<bool>()).prop_map(|(addrs, answer_ping)| NodeTables {
        addrs: addrs.into_iter().map(Addr::from).collect(),
        answer_ping,
        ..NodeTables::default()
    })
}

/// At an address that may be an endpoint's.
fn any_name_server() -> impl Strategy<Value = NameServer> {
    (select(&NAMES[..]), 1..7_u8, any::<bool>()).prop_map(|(name, last, dual)| {
        let v4 = SocketAddr::from(([10, 0, 0, last], 8443));
        let v6 = SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last.into()], 8443));
        let addrs = [v4, v6].into_iter().take(if dual { 2 } else { 1 }).collect();
        NameServer { service: service(name, 1).name, addrs }
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let endpoints = vec(any_endpoint(), 0..6);
    let slices = select(&["0", "1", "2", "3", "4"][..]);
    prop_oneof![
        4 => any_service().prop_map(|service| Event::Service(Box::new(service))),
        2 => select(&NAMES[..]).prop_map(Event::NoService),
        6 => (select(&NAMES[..]), slices, endpoints)
            .prop_map(|(service, name, endpoints)| Event::Slice(service, name, endpoints)),
        1 => any_node().prop_map(Event::Node),
        1 => subsequence(public(), 0..3).prop_map(Event::Primary),
        1 => option::of(any_name_server()).prop_map(Event::NameServer),
        1 => Just(Event::Restart),
    ]
}

fn happen(agent: &mut Agent, event: &Event) {
    match event {
        Event::Service(service) => drop(agent.set(service.as_ref().clone())),
        Event::NoService(name) => drop(agent.remove(name)),
        Event::Slice(service, name, endpoints) => {
            drop(agent.set_slice(slice(name, service, endpoints.clone())));
        }
        Event::Node(node) => drop(agent.set_node(node.clone())),
        Event::Primary(primary) => {
            let primary = primary.clone();
            drop(agent.set_view(NodeView { primary, ..agent.view.clone() }));
        }
        Event::NameServer(name_server) => {
            let name_server = name_server.clone();
            drop(agent.set_view(NodeView { name_server, ..agent.view.clone() }));
        }
        Event::Restart => restart(agent),
    }
}

/// A restart is seen by nobody.
fn restart(agent: &mut Agent) {
    let before = agent.kernel.clone();
    agent.restart();
    assert_eq!(agent.kernel.meanings(), before.meanings());
    assert_eq!(agent.kernel.living(), before.living());
    // A slot of the name server that only another's frontend would lead to is not found again.
    if !is_contested(agent) {
        assert_eq!(agent.kernel.tables, before.tables);
    }
}

/// Whether the Service that a name server stands for does not have all that it claims.
fn is_contested(agent: &Agent) -> bool {
    agent.view.name_server.as_ref().is_some_and(|own| {
        let subject = format!("Service {}", own.service);
        agent.planner.problems().iter().any(|problem| problem.subject == subject)
    })
}

/// What lives keeps its id, and its generation as long as it serves and no name server comes before
/// it.
fn same_ids(before: &Kernel, after: &Kernel) {
    let serves = |cell: &BackendValue| cell.flags & BackendValue::SERVING != 0;
    let leads_home = |kernel: &Kernel, service: u32| {
        let own = |cell: &&BackendValue| cell.flags & BackendValue::AGENT != 0;
        kernel.tables.backends.values().filter(own).any(|cell| cell.service == service)
    };
    let living = after.living();
    for (key, (id, was)) in before.living() {
        let name = before.tables.services[&was.service];
        if after.tables.services.get(&was.service) == Some(&name) {
            let Some((now_id, now)) = living.get(&key) else { continue };
            assert_eq!(*now_id, id);
            let gained = !leads_home(before, was.service) && leads_home(after, was.service);
            let moved = u32::from(gained || (serves(&was) && !serves(now)));
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
        events in vec(any_event(), 1..40),
    ) {
        let mut agent = Agent::new(ROOMY);
        for event in &events {
            let before = agent.kernel.clone();
            happen(&mut agent, event);
            same_ids(&before, &agent.kernel);
            let implied = agent.kernel.implied_addresses(&agent.node);
            prop_assert_eq!(&agent.kernel.tables.addresses, &implied);
        }
        let mut fresh = Agent::new(ROOMY);
        (fresh.services, fresh.slices) = (agent.services.clone(), agent.slices.clone());
        (fresh.node, fresh.view) = (agent.node.clone(), agent.view.clone());
        fresh.restart();
        prop_assert_eq!(agent.kernel.meanings(), fresh.kernel.meanings());
        prop_assert_eq!(&agent.kernel.tables.addresses, &fresh.kernel.tables.addresses);
        prop_assert_eq!(agent.problems(), fresh.problems());

        for name in agent.services.clone().into_keys() {
            agent.remove(&name.name);
        }
        prop_assert!(agent.kernel.tables.frontends.is_empty());
        prop_assert!(agent.kernel.tables.services.is_empty());
        prop_assert!(agent.kernel.living().is_empty());
        let Tables { slots, source_ranges, siblings, addresses, .. } = agent.planner.actual();
        prop_assert!(slots.is_empty() && source_ranges.is_empty() && siblings.is_empty());
        prop_assert!(addresses.keys().eq(&agent.node.addrs));
    }

    /// Tables so small that most does not fit: what is in them stays whole, and what is taken
    /// away leaves room for all of it again.
    #[test]
    fn full_tables_harm_nobody(
        events in vec(any_event(), 1..40),
        limits in (2..6_u32, 2..12_u32, 1..9_u32, 1..6_u32, 1..4_u32, 1..6_u32),
    ) {
        let (services, backends, slots, frontends, source_ranges, siblings) = limits;
        let limits =
            super::Limits { services, backends, slots, frontends, source_ranges, siblings };
        let mut agent = Agent::new(limits);
        for event in events.iter().filter(|event| !matches!(event, Event::Restart)) {
            happen(&mut agent, event);
            let tables = &agent.kernel.tables;
            prop_assert!(tables.services.keys().all(|id| *id < services));
            prop_assert!(tables.backends.keys().all(|id| *id < backends));
            prop_assert!(agent.kernel.slots.keys().all(|slot| *slot < slots));
            prop_assert!(tables.frontends.len() <= frontends as usize);
            prop_assert!(tables.source_ranges.len() <= source_ranges as usize);
            prop_assert!(tables.siblings.len() <= siblings as usize);
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
