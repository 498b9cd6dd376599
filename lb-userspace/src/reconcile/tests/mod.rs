//! What the planner promises, with a reader that sees the tables as packets do: between any two
//! edits.

mod affinity;
mod contested;
mod explain;
mod full;
mod guard;
mod name_server;
mod ranges;
mod restart;
mod stream;
mod update;

use super::ids::Limits;
use super::planner::NodeTables;
use super::{Edit, Planner, Tables};
use crate::compile::{self, NodeView};
use crate::model::{
    AffinityScope, Algorithm, Endpoint, EndpointPort, EndpointSlice, ObjectName, Protocol, Service,
    ServicePort, ServiceType, TargetPort, TrafficPolicy,
};
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::wire::{Addr, Port};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

const ROOMY: Limits = Limits {
    services: 64,
    backends: 256,
    slots: 16384,
    frontends: 256,
    source_ranges: 64,
    siblings: 256,
};

/// A Service of one port, 80, at `10.96.0.<ip>`.
fn service(name: &str, ip: u8) -> Service {
    Service {
        uid: String::new(),
        name: ObjectName::new("ns", name),
        kind: ServiceType::NodePort,
        cluster_ips: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, ip))],
        headless: false,
        external_name: None,
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        unusable: Vec::new(),
        ports: vec![port("http", 80)],
        affinity_timeout_s: None,
        affinity_scope: AffinityScope::Port,
        external_policy: TrafficPolicy::Cluster,
        internal_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        selector: BTreeMap::new(),
        publish_not_ready: false,
        algorithm: Algorithm::Random,
        other_proxy: None,
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
        unready: None,
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
        unusable: Vec::new(),
        trigger: None,
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

/// The endpoints that a side leads to, and its flags.
type Side = (BTreeSet<(Addr, Port, u8)>, u32);

/// What a frontend leads to, without ids.
#[derive(Debug, PartialEq)]
struct Meaning {
    /// Inside and outside.
    sides: [Side; 2],
    /// The clients that may use it, if it is guarded.
    sources: Option<BTreeSet<(u32, [u8; 16])>>,
    /// The frontends that remember clients together with it.
    memory: BTreeSet<FrontendKey>,
    /// The endpoints that clients of other ports are found at.
    siblings: BTreeMap<Addr, Port>,
}

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
                for slot in choice.base..choice.base + choice.slots() {
                    let id = self.slots[&slot];
                    let owner = self.tables.backends[&id].service;
                    assert_eq!(owner, value.service, "slot {slot} names somebody else's backend");
                    let other = owners.insert(slot, value.service);
                    assert!(other.is_none_or(|other| other == value.service), "slot {slot} twice");
                }
            }
            assert!(self.tables.services.contains_key(&value.service), "a frontend of nobody");
            let guarded = value.flags & FrontendValue::GUARDED != 0;
            assert!(!guarded || !self.sources(value).is_empty(), "nobody may use it");
        }
        for (key, id) in &self.tables.siblings {
            let cell = self.tables.backends[id];
            assert_eq!((cell.service, cell.addr), (key.service, key.addr), "another endpoint");
        }
        self.look_at_addresses();
    }

    /// Packets for an address are looked at only if it means something.
    fn look_at_addresses(&self) {
        let Tables { frontends, backends, addresses, .. } = &self.tables;
        let means = |addr: &Addr, bit: u32| addresses.get(addr).is_some_and(|b| b & bit != 0);
        for key in frontends.keys().filter(|key| key.addr != Addr::ANY) {
            assert!(means(&key.addr, AddressValue::FRONTEND), "{} is passed by", key.addr);
        }
        for cell in backends.values().filter(|cell| cell.service != 0) {
            assert!(means(&cell.addr, AddressValue::BACKEND), "{} is passed by", cell.addr);
        }
    }

    /// What `ADDRESSES` has to hold, by everything else.
    fn implied_addresses(&self, node: &NodeTables) -> BTreeMap<Addr, u32> {
        let mut implied = BTreeMap::<Addr, u32>::new();
        let mut add = |addr: Addr, bits: u32| *implied.entry(addr).or_default() |= bits;
        for addr in &node.addrs {
            add(*addr, AddressValue::NODE_PORTS);
        }
        for cell in self.tables.backends.values().filter(|cell| cell.service != 0) {
            add(cell.addr, AddressValue::BACKEND);
        }
        for (key, value) in self.tables.frontends.iter().filter(|(key, _)| key.addr != Addr::ANY) {
            add(key.addr, AddressValue::FRONTEND);
            if value.kind == FrontendValue::CLUSTER_IP {
                add(key.addr, AddressValue::CLUSTER_IP);
            }
            if node.answer_ping && (value.inside.slots(), value.outside.slots()) != (0, 0) {
                add(key.addr, AddressValue::ANSWERS_PING);
            }
        }
        implied
    }

    /// What the next agent reads: of the slots, those that frontends point to.
    fn read(&self) -> Tables {
        let values = self.tables.frontends.values();
        let choices = values.flat_map(|value| [value.inside, value.outside]);
        let mut slots = BTreeMap::<u32, Vec<u32>>::new();
        for choice in choices.filter(|choice| choice.slots() != 0) {
            let longest = slots.entry(choice.base).or_default();
            if choice.slots() as usize > longest.len() {
                *longest = self.ids(choice).collect();
            }
        }
        Tables { slots, ..self.tables.clone() }
    }

    /// All that a choice leads to, the agent included.
    fn ids(&self, choice: Choice) -> impl Iterator<Item = u32> {
        (choice.base..choice.base + choice.slots()).map(|slot| self.slots[&slot])
    }

    fn meanings(&self) -> BTreeMap<FrontendKey, Meaning> {
        let frontends = self.tables.frontends.iter();
        frontends.map(|(key, value)| (*key, self.meaning(value))).collect()
    }

    fn meaning(&self, value: &FrontendValue) -> Meaning {
        let backend = |id: u32| {
            let cell = self.tables.backends[&id];
            (cell.addr, cell.port, cell.flags)
        };
        let side = |choice: Choice| (self.ids(choice).map(backend).collect(), choice.flags);
        let guarded = value.flags & FrontendValue::GUARDED != 0;
        let shared = value.flags & FrontendValue::SHARED_AFFINITY != 0;
        let siblings = self.tables.siblings.iter().filter(|(key, _)| key.service == value.service);
        let siblings = siblings.map(|(key, id)| (key.addr, self.tables.backends[id].port));
        let together =
            |other: &&FrontendValue| other.affinity == value.affinity && value.affinity != 0;
        let frontends = self.tables.frontends.iter();
        let memory = frontends.filter(|(_, other)| together(other)).map(|(key, _)| *key);
        Meaning {
            sides: [side(value.inside), side(value.outside)],
            sources: guarded.then(|| self.sources(value)),
            memory: memory.collect(),
            siblings: siblings.filter(|_| shared).collect(),
        }
    }

    /// The clients that may use a guarded frontend.
    fn sources(&self, value: &FrontendValue) -> BTreeSet<(u32, [u8; 16])> {
        let own = self.tables.source_ranges.keys().filter(|key| key.service == value.service);
        own.map(|key| (key.prefix_len, key.addr)).collect()
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
    node: NodeTables,
    view: NodeView,
    planner: Planner,
    kernel: Kernel,
    limits: Limits,
}

impl Agent {
    fn new(limits: Limits) -> Self {
        Self {
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            node: NodeTables::default(),
            view: NodeView { name: "here".to_owned(), ..NodeView::default() },
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

    /// A slice is now this; it may have belonged to another Service before.
    fn set_slice(&mut self, slice: EndpointSlice) -> Vec<Edit> {
        let owner = ObjectName::new("ns", &slice.service);
        let mut owners = self
            .slices
            .iter_mut()
            .filter_map(|(name, slices)| slices.remove(&slice.name.name).map(|_| name.clone()));
        let before = owners.next().filter(|before| *before != owner);
        self.slices.entry(owner.clone()).or_default().insert(slice.name.name.clone(), slice);
        let names = before.into_iter().chain([owner]);
        names.collect::<Vec<_>>().iter().flat_map(|name| self.plan(name)).collect()
    }

    /// The node is now this.
    fn set_node(&mut self, node: NodeTables) -> Vec<Edit> {
        self.node = node;
        let edits = self.planner.update_node(&self.node);
        self.kernel.apply(&edits);
        edits
    }

    /// The node is now this to the rules.
    fn set_view(&mut self, view: NodeView) -> Vec<Edit> {
        self.view = view;
        self.plan_all()
    }

    /// The only slice of a Service: endpoints by their last byte.
    fn endpoints(&mut self, service: &str, endpoints: &[u8]) -> Vec<Edit> {
        let endpoints = endpoints.iter().map(|last| endpoint(*last)).collect();
        self.set_slice(slice(service, service, endpoints))
    }

    fn plan(&mut self, name: &ObjectName) -> Vec<Edit> {
        let none = BTreeMap::new();
        let slices = self.slices.get(name).unwrap_or(&none);
        let view = &self.view;
        let plan = self.services.get(name).map(|service| compile::plan(service, slices, view));
        let edits = self.planner.update(name, plan.as_ref());
        self.kernel.apply(&edits);
        edits
    }

    fn plan_all(&mut self) -> Vec<Edit> {
        let names: Vec<ObjectName> = self.services.keys().cloned().collect();
        names.iter().flat_map(|name| self.plan(name)).collect()
    }

    /// Another agent takes over; gives what it writes.
    fn restart(&mut self) -> Vec<Edit> {
        self.planner = Planner::adopt(self.kernel.read(), self.limits);
        let mut edits = self.set_node(self.node.clone());
        edits.extend(self.plan_all());
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
