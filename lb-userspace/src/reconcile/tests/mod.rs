//! What the planner promises, with a reader that sees the tables as packets do: between any two
//! edits.

mod contested;
mod full;
mod ranges;
mod restart;
mod stream;
mod update;

use super::ids::Limits;
use super::{Edit, Planner, Tables};
use crate::compile::{self, NodeView};
use crate::model::{
    Algorithm, Endpoint, EndpointPort, EndpointSlice, ObjectName, Protocol, Service, ServicePort,
    ServiceType, TargetPort, TrafficPolicy,
};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey};
use lb_common::wire::{Addr, Port};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

const ROOMY: Limits = Limits { services: 64, backends: 256, slots: 16384, frontends: 256 };

/// A Service of one port, 80, at `10.96.0.<ip>`.
fn service(name: &str, ip: u8) -> Service {
    Service {
        name: ObjectName::new("ns", name),
        kind: ServiceType::NodePort,
        cluster_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, ip))],
        headless: false,
        external_name: None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![port("http", 80)],
        affinity_timeout_s: None,
        external_policy: TrafficPolicy::Cluster,
        internal_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        selector: BTreeMap::new(),
        publish_not_ready: false,
        algorithm: Algorithm::Random,
        created_s: 0,
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    let target_port = TargetPort::Number(number);
    let protocol = Protocol::Tcp;
    ServicePort { name: name.to_owned(), protocol, port: number, target_port, node_port: None }
}

/// The endpoint `10.0.0.<last>`; an even one is on this node.
fn endpoint(last: u8) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        ready: true,
        serving: true,
        terminating: false,
        node: last.is_multiple_of(2).then(|| "here".to_owned()),
        zone: None,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        hostname: None,
        pod: None,
    }
}

/// A slice for the ports "http" and "https".
fn slice(name: &str, service: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let port =
        |name: &str, port| EndpointPort { name: name.to_owned(), protocol: Protocol::Tcp, port };
    EndpointSlice {
        name: ObjectName::new("ns", name),
        service: service.to_owned(),
        ports: vec![port("http", 8080), port("https", 8443)],
        endpoints,
    }
}

/// The maps as packets see them.
#[derive(Clone, Default)]
struct Kernel {
    /// All but slots.
    tables: Tables,
    /// Every cell of `SLOTS` that was ever written.
    slots: BTreeMap<u32, u32>,
}

/// What a frontend leads to: of each side the endpoints and flags.
type Meaning = BTreeMap<FrontendKey, [(BTreeSet<(Addr, Port, u8)>, u32); 2]>;

impl Kernel {
    /// Applies edits one by one, and looks around after each.
    fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Edit::Slots(base, ids) = edit {
                self.slots.extend((*base..).zip(ids.iter().copied()));
            } else {
                self.tables.apply(edit);
            }
            self.look();
        }
    }

    /// A packet finds a backend of the service whose frontend it is aimed at, whenever it comes.
    fn look(&self) {
        let mut owners = BTreeMap::new();
        for value in self.tables.frontends.values() {
            for choice in [value.inside, value.outside] {
                for slot in choice.base..choice.base + choice.len {
                    let id = self.slots[&slot];
                    let owner = self.tables.backends[&id].service;
                    assert_eq!(owner, value.service, "slot {slot} names somebody else's backend");
                    let other = owners.insert(slot, value.service);
                    assert!(other.is_none_or(|other| other == value.service), "slot {slot} twice");
                }
            }
            assert!(self.tables.services.contains_key(&value.service), "a frontend of nobody");
        }
    }

    /// What the next agent reads: of the slots, those that frontends point to.
    fn read(&self) -> Tables {
        let values = self.tables.frontends.values();
        let choices = values.flat_map(|value| [value.inside, value.outside]);
        let range = |choice: Choice| (choice.base, self.ids(choice).collect());
        let slots = choices.filter(|choice| choice.len != 0).map(range).collect();
        Tables { slots, ..self.tables.clone() }
    }

    fn ids(&self, choice: Choice) -> impl Iterator<Item = u32> {
        (choice.base..choice.base + choice.len).map(|slot| self.slots[&slot])
    }

    fn meaning(&self) -> Meaning {
        let backend = |id: u32| {
            let cell = self.tables.backends[&id];
            (cell.addr, cell.port, cell.flags)
        };
        let side = |choice: Choice| (self.ids(choice).map(backend).collect(), choice.flags);
        let frontends = self.tables.frontends.iter();
        frontends.map(|(key, value)| (*key, [side(value.inside), side(value.outside)])).collect()
    }

    /// Living backends: id and generation, by whom they serve and where.
    fn living(&self) -> BTreeMap<(u32, Addr, Port), (u32, BackendValue)> {
        let cells = self.tables.backends.iter().filter(|(_, cell)| cell.service != 0);
        let named: Vec<_> =
            cells.map(|(id, cell)| ((cell.service, cell.addr, cell.port), (*id, *cell))).collect();
        let count = named.len();
        let living: BTreeMap<_, _> = named.into_iter().collect();
        assert_eq!(living.len(), count, "an endpoint has two cells");
        living
    }
}

/// An agent: objects, the planner and the kernel.
struct Agent {
    services: BTreeMap<ObjectName, Service>,
    slices: BTreeMap<ObjectName, BTreeMap<String, EndpointSlice>>,
    planner: Planner,
    kernel: Kernel,
    limits: Limits,
}

impl Agent {
    fn new(limits: Limits) -> Self {
        Self {
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            planner: Planner::adopt(Tables::default(), limits),
            kernel: Kernel::default(),
            limits,
        }
    }

    fn set(&mut self, service: Service) -> Vec<Edit> {
        let name = service.name.clone();
        self.services.insert(name.clone(), service);
        self.plan(&name)
    }

    fn remove(&mut self, name: &str) -> Vec<Edit> {
        let name = ObjectName::new("ns", name);
        self.services.remove(&name);
        self.plan(&name)
    }

    fn set_slice(&mut self, slice: EndpointSlice) -> Vec<Edit> {
        let owner = ObjectName::new("ns", &slice.service);
        self.slices.entry(owner.clone()).or_default().insert(slice.name.name.clone(), slice);
        self.plan(&owner)
    }

    /// The only slice of a Service: endpoints by their last byte.
    fn endpoints(&mut self, service: &str, endpoints: &[u8]) -> Vec<Edit> {
        let endpoints = endpoints.iter().map(|last| endpoint(*last)).collect();
        self.set_slice(slice(service, service, endpoints))
    }

    fn plan(&mut self, name: &ObjectName) -> Vec<Edit> {
        let view = NodeView { name: "here".to_owned(), ..NodeView::default() };
        let none = BTreeMap::new();
        let slices = self.slices.get(name).unwrap_or(&none);
        let plan = self.services.get(name).map(|service| compile::plan(service, slices, &view));
        let edits = self.planner.update(name, plan.as_ref());
        self.kernel.apply(&edits);
        edits
    }

    /// Another agent takes over; gives what it writes.
    fn restart(&mut self) -> Vec<Edit> {
        self.planner = Planner::adopt(self.kernel.read(), self.limits);
        let names: Vec<ObjectName> = self.services.keys().cloned().collect();
        let mut edits: Vec<Edit> = names.iter().flat_map(|name| self.plan(name)).collect();
        let last = self.planner.forget_unplanned();
        self.kernel.apply(&last);
        edits.extend(last);
        edits
    }

    fn problems(&self) -> Vec<String> {
        self.planner.problems().iter().map(ToString::to_string).collect()
    }

    /// Last bytes of the backends that the `ClusterIP` `10.96.0.<ip>` leads to from inside.
    fn behind(&self, ip: u8) -> Vec<u8> {
        let key = FrontendKey::of(
            Addr::v4([10, 96, 0, ip]),
            Port::new(80),
            lb_common::wire::IpProto::TCP,
        );
        let frontend = self.kernel.tables.frontends.get(&key);
        let ids = frontend.into_iter().flat_map(|value| self.kernel.ids(value.inside));
        ids.map(|id| self.kernel.tables.backends[&id].addr.low4()[3]).collect()
    }
}
