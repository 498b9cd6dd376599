//! The scenario's agent: objects to plans, plans to edits. Pure; who calls it makes the edits.
//!
//! It is the way of the real agent from a change of the model on: `compile`, then `reconcile`.

use super::scenario::Node;
use crate::compile::node::SnatMode;
use crate::compile::{self, NodeView, health};
use crate::model::{self, Change, EndpointSlice, ObjectName, Problem, Snapshot};
use crate::reconcile::ids::Limits;
use crate::reconcile::planner::NodeTables;
use crate::reconcile::{Edit, Planner, Tables};
use crate::source::Delivered;
use ipnet::IpNet;
use lb_common::layout::node::LinkValue;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

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
        let object = model::Node {
            name: node.name.clone(),
            labels: node.labels.clone(),
            ..model::Node::default()
        };
        let view = NodeView {
            masquerade_all: node.masquerade_all,
            primary: node.primary_ips.clone(),
            ..NodeView::new(&object, snat, node.tells_pods())
        };
        let ranges = node.cluster_cidrs.iter().filter(|_| node.tells_pods());
        let own = NodeTables {
            addrs: node.port_addrs(),
            cidrs: ranges.map(cidr).collect(),
            links,
            answer_ping: false,
        };
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
                Change::Node(_) | Change::Watched(..) | Change::Problems(_) | Change::Synced => {}
            }
        }
        touched
    }

    /// A slice may have belonged to another Service before.
    fn replace_slice(
        &mut self,
        name: &ObjectName,
        slice: Option<EndpointSlice>,
    ) -> Vec<ObjectName> {
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

    /// Whether any Service remembers its clients.
    pub(super) fn has_affinity(&self) -> bool {
        self.tables().frontends.values().any(|frontend| frontend.affinity != 0)
    }

    /// What the node contributes to them.
    pub(super) fn own(&self) -> &NodeTables {
        &self.own
    }

    /// The Services that a load balancer asks about.
    pub(super) fn health_ports(&self) -> BTreeMap<ObjectName, health::Check> {
        health::desired(&self.snapshot)
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
