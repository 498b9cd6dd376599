//! The scenario's agent: objects to plans, plans to edits. Pure; who calls it makes the edits.
//!
//! It is the way of the real agent from a change of the model on: `compile`, then `reconcile`.

use super::scenario::{Class, LocalDetect, Node, NodePortRange};
use crate::compile::node::{SnatMode, node_port_addrs};
use crate::compile::{self, NodeView};
use crate::model::{self, Change, EndpointSlice, ObjectName, Problem, Snapshot};
use crate::reconcile::ids::Limits;
use crate::reconcile::planner::NodeTables;
use crate::reconcile::{Edit, Planner, Tables};
use crate::source::Delivered;
use ipnet::IpNet;
use lb_common::layout::node::LinkValue;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// A node with an agent.
pub(super) struct World<'a> {
    pub(super) node: &'a Node,
    pub(super) view: NodeView,
    pub(super) snapshot: Snapshot,
    limits: Limits,
    planner: Planner,
    /// What the node contributes to the tables.
    own: NodeTables,
    /// What is wrong with the objects, by object.
    problems: BTreeMap<String, Vec<Problem>>,
}

impl<'a> World<'a> {
    /// An agent that has not looked at anything yet, over empty tables.
    pub(super) fn new(
        node: &'a Node,
        snat: SnatMode,
        links: BTreeMap<u32, LinkValue>,
        limits: Limits,
    ) -> Self {
        let object = model::Node { name: node.name.clone(), labels: node.labels.clone(), ..model::Node::default() };
        let view = NodeView {
            masquerade_all: node.masquerade_all,
            ..NodeView::new(&object, snat, node.tells_pods())
        };
        let ranges = node.cluster_cidrs.iter().filter(|_| node.tells_pods());
        let own = NodeTables { addrs: node.port_addrs(), cidrs: ranges.map(cidr).collect(), links };
        Self {
            node,
            view,
            snapshot: Snapshot { node: object, ..Snapshot::default() },
            limits,
            planner: Planner::adopt(Tables::default(), limits),
            own,
            problems: BTreeMap::new(),
        }
    }

    /// Takes in what a watch delivered. Gives the Services that it is about.
    pub(super) fn observe(&mut self, delivered: &[Delivered]) -> BTreeSet<ObjectName> {
        let mut touched = BTreeSet::new();
        for Delivered { change, problems } in delivered {
            match change {
                Change::Service(name, service) => {
                    self.problems.insert(format!("Service {name}"), problems.clone());
                    let service = service.as_deref().cloned();
                    set(&mut self.snapshot.services, name.clone(), service);
                    touched.insert(name.clone());
                }
                Change::Slice(name, slice) => {
                    self.problems.insert(format!("EndpointSlice {name}"), problems.clone());
                    touched.extend(self.replace_slice(name, slice.clone()));
                }
                Change::Node(_) | Change::Problems(_) | Change::Synced => {}
            }
        }
        touched
    }

    /// A slice may have belonged to another Service before.
    fn replace_slice(&mut self, name: &ObjectName, slice: Option<EndpointSlice>) -> Vec<ObjectName> {
        let mut touched = Vec::new();
        let own = |owner: &ObjectName| owner.namespace == name.namespace;
        for (owner, slices) in self.snapshot.slices.iter_mut().filter(|(owner, _)| own(owner)) {
            touched.extend(slices.remove(&name.name).map(|_| owner.clone()));
        }
        self.snapshot.slices.retain(|_, slices| !slices.is_empty());
        if let Some(slice) = slice {
            let owner = ObjectName::new(&name.namespace, &slice.service);
            let slices = self.snapshot.slices.entry(owner.clone()).or_default();
            slices.insert(name.name.clone(), slice);
            touched.push(owner);
        }
        touched
    }

    /// Another agent starts over what the tables hold.
    pub(super) fn restart(&mut self, held: Tables) -> Vec<Edit> {
        self.planner = Planner::adopt(held, self.limits);
        let mut edits = self.planner.update_node(&self.own);
        let all = self.snapshot.services.keys().cloned().collect();
        edits.extend(self.plan(&all));
        edits.extend(self.planner.forget_unplanned());
        edits
    }

    /// Plans these Services again.
    pub(super) fn plan(&mut self, services: &BTreeSet<ObjectName>) -> Vec<Edit> {
        let mut edits = Vec::new();
        for name in services {
            let plan = plan(&self.snapshot, name, &self.view);
            edits.extend(self.planner.update(name, plan.as_ref()));
        }
        edits
    }

    /// What the tables hold.
    pub(super) fn tables(&self) -> &Tables {
        self.planner.actual()
    }

    /// What the node contributes to them.
    pub(super) fn own(&self) -> &NodeTables {
        &self.own
    }

    /// What cannot be done as the objects want it.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.values().flatten().cloned().chain(self.planner.problems()).collect()
    }

    /// Addresses of endpoints in pods of this node.
    pub(super) fn local_pods(&self) -> BTreeSet<IpAddr> {
        let slices = self.snapshot.slices.values().flat_map(BTreeMap::values);
        let here = |node: &Option<String>| node.as_ref() == Some(&self.node.name);
        slices
            .flat_map(|slice| &slice.endpoints)
            .filter(|endpoint| here(&endpoint.node))
            .map(|endpoint| endpoint.address)
            .filter(|ip| !self.node.ips.contains(ip))
            .collect()
    }
}

/// The plan of a Service; `None`: there is no such Service.
pub(super) fn plan(
    snapshot: &Snapshot,
    name: &ObjectName,
    view: &NodeView,
) -> Option<compile::Plan> {
    let none = BTreeMap::new();
    let slices = snapshot.slices.get(name).unwrap_or(&none);
    snapshot.services.get(name).map(|service| compile::plan(service, slices, view))
}

impl Node {
    /// Whether pods can be told from others.
    pub(super) fn tells_pods(&self) -> bool {
        self.local_detect == LocalDetect::ClusterCidr && !self.cluster_cidrs.is_empty()
    }

    /// Whether `ip` is told to be a pod's.
    pub(super) fn takes_for_pod(&self, ip: &IpAddr) -> bool {
        self.tells_pods() && self.cluster_cidrs.iter().any(|range| range.contains(ip))
    }

    /// Where a client with this address is.
    pub(super) fn class(&self, ip: &IpAddr) -> Class {
        if ip.is_loopback() {
            Class::Localhost
        } else if self.ips.contains(ip) {
            Class::Node
        } else if self.cluster_cidrs.iter().any(|range| range.contains(ip)) {
            Class::Pod
        } else {
            Class::External
        }
    }

    /// `nodePortAddresses` as ranges.
    pub(super) fn port_ranges(&self) -> Vec<IpNet> {
        let ranges = self.node_port_addresses.iter().flat_map(|range| match range {
            NodePortRange::Primary => self.primary_ips.iter().copied().map(IpNet::from).collect(),
            NodePortRange::Within(range) => vec![*range],
        });
        ranges.collect()
    }

    /// Addresses that serve node ports.
    fn port_addrs(&self) -> BTreeSet<Addr> {
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let interfaces = self.interfaces.iter().map(|interface| interface.address.addr());
        let addrs = self.ips.iter().copied().chain(interfaces).filter(|ip| !ip.is_loopback());
        let addrs = addrs.chain(self.localhost_node_ports.then_some(localhost));
        node_port_addrs(addrs, &self.port_ranges())
    }
}

/// A range as `CLUSTER_CIDRS` has it.
fn cidr(range: &IpNet) -> ([u8; 16], u32) {
    let range = range.trunc();
    let mapped = if range.addr().is_ipv4() { 96 } else { 0 };
    (Addr::from(range.addr()).0, u32::from(range.prefix_len()) + mapped)
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => drop(map.insert(key, value)),
        None => drop(map.remove(&key)),
    }
}
