//! `tests/scenarios/*.json`: what kube-proxy does with the first packet of a connection, and what
//! the tables say that we do (`FORMAT.md` explains the files and where they come from).
//!
//! No kernel is asked: a small reader walks the tables as the packet programs do. Objects take
//! the whole way from JSON through `source::convert`, `compile` and `reconcile`. Scenarios are
//! judged with `--snat always`, which is how kube-proxy masquerades.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use lb_common::layout::address::AddressValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::source_range::SourceRangeKey;
use lb_common::wire::{Addr, IpProto, Port};
use lb_userspace::compile::node::{NodePortAddresses, NodePorts, SnatMode};
use lb_userspace::compile::{self, NodeView};
use lb_userspace::model::{Node, ObjectName, Snapshot};
use lb_userspace::reconcile::ids::Limits;
use lb_userspace::reconcile::planner::NodeTables;
use lb_userspace::reconcile::{Planner, Tables};
use lb_userspace::source::{Report, convert};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Packets that are judged otherwise than by kube-proxy: scenario, packet, why. The list is exact:
/// a packet that is judged alike must leave it.
const DIFFERENT: &[(&str, &str, &str)] = &[];

/// Scenarios that are not about first packets, and where their promise is kept instead.
const OTHER_KINDS: &[(&str, &str)] = &[
    ("affinity-timeout-refresh", "sequence: time passes in the packet programs only"),
    ("conntrack-stale-entries-external-ip", "flows: decided by generations, packet by packet"),
    ("health-server-one-service", "http: there is no health check server yet"),
    ("words-service-objects-skipped", "words: facts without packets, see the tests of compile"),
];

#[derive(Deserialize)]
struct Scenario {
    id: String,
    kind: String,
    node: View,
    objects: Vec<Value>,
    #[serde(default)]
    packets: Vec<Packet>,
    #[serde(default)]
    then: Vec<Step>,
}

/// The node.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    name: String,
    ips: Vec<IpAddr>,
    #[serde(rename = "primaryIPs")]
    primary_ips: Vec<IpAddr>,
    #[serde(rename = "clusterCIDRs")]
    cluster_cidrs: Vec<IpNet>,
    zone: Option<String>,
    local_detect: String,
    masquerade_all: bool,
    localhost_node_ports: bool,
    node_port_addresses: Vec<IpNet>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    restart: bool,
    #[serde(default)]
    events: Vec<Event>,
    #[serde(default)]
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Event {
    op: String,
    object: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Packet {
    name: String,
    #[serde(rename = "srcIP")]
    src: IpAddr,
    proto: String,
    #[serde(rename = "dstIP")]
    dst: IpAddr,
    dst_port: u16,
    from: String,
    expect: Expect,
    #[serde(default)]
    also_accept: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expect {
    verdict: String,
    #[serde(default)]
    backends: BTreeSet<SocketAddr>,
    #[serde(default)]
    snat: bool,
    #[serde(default)]
    snat_for: BTreeSet<SocketAddr>,
}

/// What the tables say about a packet.
#[derive(Debug, PartialEq)]
enum Verdict {
    Pass,
    Drop,
    Reject,
    /// To one of these; true: the client's address is replaced.
    Dnat(BTreeMap<SocketAddr, bool>),
}

#[test]
fn first_packets_are_judged_as_kube_proxy_judges_them() {
    let mut wrong = BTreeMap::new();
    let mut others = BTreeSet::new();
    for scenario in scenarios() {
        if scenario.kind == "packets" {
            for (packet, verdict) in judge(&scenario) {
                wrong.insert((scenario.id.clone(), packet), verdict);
            }
        } else {
            others.insert(scenario.id);
        }
    }
    let listed: BTreeSet<(String, String)> =
        DIFFERENT.iter().map(|(id, packet, _)| ((*id).to_owned(), (*packet).to_owned())).collect();
    let news: Vec<_> = wrong.iter().filter(|(key, _)| !listed.contains(key)).collect();
    assert!(news.is_empty(), "judged otherwise: {news:#?}");
    let done: Vec<_> = listed.iter().filter(|key| !wrong.contains_key(key)).collect();
    assert!(done.is_empty(), "judged alike by now, to be taken from the list: {done:#?}");
    let known: BTreeSet<String> = OTHER_KINDS.iter().map(|(id, _)| (*id).to_owned()).collect();
    assert_eq!(others, known, "scenarios of other kinds");
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

/// The packets that are judged wrongly, with the verdict. A packet of a later step is named by
/// the step's number, too.
fn judge(scenario: &Scenario) -> Vec<(String, String)> {
    let mut world = World::new(&scenario.node);
    for object in &scenario.objects {
        world.observe("add", object);
    }
    world.restart();
    let mut wrong = world.check(&scenario.packets, "");
    for (number, step) in (1..).zip(&scenario.then) {
        let mut changed = BTreeSet::new();
        for event in &step.events {
            changed.extend(world.observe(&event.op, &event.object));
        }
        if step.restart {
            world.restart();
        } else {
            for service in &changed {
                world.plan(service);
            }
        }
        wrong.extend(world.check(&step.packets, &format!("then {number}: ")));
    }
    wrong
}

/// A node with an agent.
struct World<'a> {
    node: &'a View,
    own: NodeTables,
    view: NodeView,
    snapshot: Snapshot,
    planner: Planner,
}

impl<'a> World<'a> {
    fn new(node: &'a View) -> Self {
        let zone = node.zone.clone().map(|zone| ("topology.kubernetes.io/zone".to_owned(), zone));
        let labels = zone.into_iter().collect();
        let object = Node { name: node.name.clone(), labels, pod_cidrs: Vec::new() };
        let view = NodeView::new(&object, SnatMode::Always, node.tells_pods());
        let within = NodePortAddresses::Ranges(node.node_port_addresses.clone());
        let node_ports = NodePorts { within, localhost: node.localhost_node_ports };
        let own = NodeTables {
            addrs: node_ports.addrs(node.ips.iter().copied(), &node.primary_ips),
            ..NodeTables::default()
        };
        let view = NodeView {
            primary: node.primary_ips.clone(),
            masquerade_all: node.masquerade_all,
            ..view
        };
        let planner = Planner::adopt(Tables::default(), Limits::default());
        Self { node, own, view, snapshot: Snapshot::default(), planner }
    }

    /// Takes in what a watch delivers; gives the Service that it is about.
    fn observe(&mut self, op: &str, object: &Value) -> Option<ObjectName> {
        let gone = op == "delete";
        let mut report = Report::new("scenario");
        if object["kind"] == "Service" {
            let service: core::Service = serde_json::from_value(object.clone()).unwrap();
            let service = convert::service(&service, &mut report)?;
            let name = service.name.clone();
            self.snapshot.services.remove(&name);
            if !gone {
                self.snapshot.services.insert(name.clone(), service);
            }
            return Some(name);
        }
        let slice: discovery::EndpointSlice = serde_json::from_value(object.clone()).unwrap();
        let slice = convert::endpoint_slice(&slice, &mut report)?;
        let owner = ObjectName::new(&slice.name.namespace, &slice.service);
        let slices = self.snapshot.slices.entry(owner.clone()).or_default();
        slices.remove(&slice.name.name);
        if !gone {
            slices.insert(slice.name.name.clone(), slice);
        }
        Some(owner)
    }

    fn plan(&mut self, service: &ObjectName) {
        let none = BTreeMap::new();
        let slices = self.snapshot.slices.get(service).unwrap_or(&none);
        let object = self.snapshot.services.get(service);
        let plan = object.map(|object| compile::plan(object, slices, &self.view));
        self.planner.update(service, plan.as_ref());
    }

    /// The agent ends and another one starts over the tables that it left.
    fn restart(&mut self) {
        self.planner = Planner::adopt(self.planner.actual().clone(), Limits::default());
        self.planner.update_node(&self.own);
        let services: Vec<ObjectName> = self.snapshot.services.keys().cloned().collect();
        for service in &services {
            self.plan(service);
        }
        self.planner.forget_unplanned();
    }

    fn check(&self, packets: &[Packet], step: &str) -> Vec<(String, String)> {
        let mut wrong = Vec::new();
        for packet in packets {
            let verdict = self.verdict(packet);
            let accepted = [&packet.expect].into_iter().chain(&packet.also_accept);
            if !accepted.clone().any(|expect| packet.agrees(expect, &verdict)) {
                wrong.push((format!("{step}{}", packet.name), format!("{verdict:?}")));
            }
        }
        wrong
    }

    /// What the packet programs do: look up, ask the guard, choose a side, choose a backend.
    fn verdict(&self, packet: &Packet) -> Verdict {
        let tables = self.planner.actual();
        let Some(frontend) = frontend(tables, packet) else { return Verdict::Pass };
        if frontend.flags & FrontendValue::GUARDED != 0 && !is_let_in(tables, &frontend, packet) {
            return Verdict::Drop;
        }
        let choice = if self.node.is_inside(packet) { frontend.inside } else { frontend.outside };
        if choice.len == 0 {
            let drop = choice.flags & Choice::DROP != 0;
            return if drop { Verdict::Drop } else { Verdict::Reject };
        }
        let slots = &tables.slots[&choice.base];
        assert_eq!(slots.len(), choice.len as usize);
        let backend = |id: &u32| {
            let cell = tables.backends[id];
            assert_eq!(cell.service, frontend.service, "a slot names another service's backend");
            let hairpin = cell.addr == Addr::from(packet.src);
            let snat = hairpin || choice.flags & Choice::SNAT != 0;
            (SocketAddr::new(cell.addr.to_ip(), cell.port.number()), snat)
        };
        Verdict::Dnat(slots.iter().map(backend).collect())
    }
}

/// Whether a range of a guarded frontend holds the client.
fn is_let_in(tables: &Tables, frontend: &FrontendValue, packet: &Packet) -> bool {
    let client = u128::from_be_bytes(Addr::from(packet.src).0);
    let holds = |key: &SourceRangeKey| {
        let differing = client ^ u128::from_be_bytes(key.addr);
        key.service == frontend.service && differing.leading_zeros() >= key.prefix_len - 32
    };
    tables.source_ranges.keys().any(holds)
}

fn frontend(tables: &Tables, packet: &Packet) -> Option<FrontendValue> {
    let proto = match packet.proto.as_str() {
        "TCP" => IpProto::TCP,
        "UDP" => IpProto::UDP,
        "SCTP" => IpProto::SCTP,
        other => panic!("{other} is no protocol"),
    };
    let (addr, port) = (Addr::from(packet.dst), Port::new(packet.dst_port));
    let own = tables.frontends.get(&FrontendKey::of(addr, port, proto));
    let node_port = || {
        let key = FrontendKey::node_port(port, proto, packet.dst.is_ipv6());
        tables
            .addresses
            .get(&addr)
            .filter(|bits| **bits & AddressValue::NODE_PORTS != 0)
            .and_then(|_| tables.frontends.get(&key))
    };
    own.or_else(node_port).copied()
}

impl View {
    fn tells_pods(&self) -> bool {
        self.local_detect == "ClusterCIDR"
    }

    fn is_inside(&self, packet: &Packet) -> bool {
        let pod = self.cluster_cidrs.iter().any(|range| range.contains(&packet.src));
        packet.is_from_node() || (self.tells_pods() && pod)
    }
}

impl Packet {
    fn is_from_node(&self) -> bool {
        matches!(self.from.as_str(), "node" | "localhost")
    }

    fn agrees(&self, expect: &Expect, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Pass => expect.verdict == "pass",
            Verdict::Drop => expect.verdict == "drop",
            Verdict::Reject => expect.verdict == "reject",
            Verdict::Dnat(backends) => {
                let wanted = |addr: &SocketAddr| expect.snat || expect.snat_for.contains(addr);
                // A process of the node is translated when it connects, before it has an address.
                let snat = |(addr, snat): (&SocketAddr, &bool)| {
                    self.is_from_node() || wanted(addr) == *snat
                };
                expect.verdict == "dnat"
                    && backends.keys().eq(expect.backends.iter())
                    && backends.iter().all(snat)
            }
        }
    }
}
