//! Who owns which part of the tables: one service at a time, so that the cost of a change is the
//! size of the change.
//!
//! Every Service claims the entries that its plan needs. Backends, slots and names are its own;
//! a frontend can be claimed by several, and the oldest claim holds it (then the first by name),
//! whatever order the objects came in.

use crate::compile::{BackendKey, FrontendPlan, Plan, PortName, PortPlan, Side, proto};
use crate::model::{Algorithm, ObjectName, Problem, TrafficPolicy};
use crate::reconcile::ids::{Ids, Limits, Range};
use crate::reconcile::tables::{Edit, Tables, diff};
use lb_common::algo::maglev::{self, Permutation};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::wire::{Addr, IpProto, Port};
use std::collections::{BTreeMap, BTreeSet};

/// Who claims a frontend; the smallest holds it.
type Rank = (i64, PortName);

/// What the node contributes to the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTables {
    /// Addresses that serve node ports.
    pub addrs: BTreeSet<Addr>,
    /// Ranges of pod addresses: address and prefix length as in `CLUSTER_CIDRS`.
    pub cidrs: BTreeSet<([u8; 16], u32)>,
    /// Links by index.
    pub links: BTreeMap<u32, LinkValue>,
}

/// The part of the tables that belongs to one Service.
#[derive(Debug, Default)]
struct Part {
    tables: Tables,
    ports: BTreeSet<PortName>,
    claims: BTreeMap<FrontendKey, Rank>,
    problems: Vec<Problem>,
}

/// The owner of all ids and claims.
#[derive(Debug)]
pub struct Planner {
    ids: Ids,
    /// What the kernel holds.
    actual: Tables,
    parts: BTreeMap<ObjectName, Part>,
    claims: BTreeMap<FrontendKey, BTreeMap<Rank, FrontendValue>>,
    contested: BTreeSet<FrontendKey>,
}

impl Planner {
    /// Begins with what the kernel's tables say.
    pub fn adopt(actual: Tables, limits: Limits) -> Self {
        Self {
            ids: Ids::adopt(&actual, limits),
            actual,
            parts: BTreeMap::new(),
            claims: BTreeMap::new(),
            contested: BTreeSet::new(),
        }
    }

    /// Ends the adoption: all Services that exist have been planned once. What the tables still
    /// hold of others goes away.
    pub fn forget_unplanned(&mut self) -> Vec<Edit> {
        let planned: BTreeSet<PortName> =
            self.parts.values().flat_map(|part| part.ports.clone()).collect();
        let gone: Vec<PortName> =
            self.ids.services().filter(|name| !planned.contains(name)).cloned().collect();
        let mut wanted = Tables {
            frontends: self.held(),
            services: union(self.parts.values().map(|part| &part.tables.services)),
            backends: union(self.parts.values().map(|part| &part.tables.backends)),
            ..self.actual.clone()
        };
        for (id, value) in &self.actual.backends {
            if wanted.backends.contains_key(id) {
                continue;
            }
            let key = BackendKey { addr: value.addr, port: value.port };
            let freed = self.ids.forget_backend(value.service, key);
            let cell = freed.map_or(*value, |(_, generation)| free_cell(value, generation));
            wanted.backends.insert(*id, cell);
        }
        for name in &gone {
            self.ids.forget_service(name);
        }
        let edits = diff(&self.actual, &wanted);
        self.commit(&edits);
        edits
    }

    /// Every frontend with the claim that holds it.
    fn held(&self) -> BTreeMap<FrontendKey, FrontendValue> {
        let first = |(key, ranks): (&FrontendKey, &BTreeMap<Rank, FrontendValue>)| {
            Some((*key, *ranks.values().next()?))
        };
        self.claims.iter().filter_map(first).collect()
    }

    /// Replaces the part of one Service; `None`: it is gone.
    pub fn update(&mut self, service: &ObjectName, plan: Option<&Plan>) -> Vec<Edit> {
        let old = self.parts.remove(service).unwrap_or_default();
        let mut stale = Vec::new();
        let mut new = Part::default();
        for port in plan.iter().flat_map(|plan| &plan.ports) {
            let rank = (plan.map_or(0, |plan| plan.created_s), port.name.clone());
            self.plan_port(port, &rank, &mut new, &mut stale);
        }
        let wanted = self.merge(&old, &new);
        let edits = diff(&self.portion(&old, &new), &wanted);
        for name in old.ports.difference(&new.ports) {
            self.ids.forget_service(name);
        }
        for range in &stale {
            self.ids.give_back(range);
        }
        if plan.is_some() {
            self.parts.insert(service.clone(), new);
        }
        self.commit(&edits);
        edits
    }

    /// The node's part of the tables.
    pub fn update_node(&mut self, node: &NodeTables) -> Vec<Edit> {
        let wanted = Tables {
            node_addrs: node.addrs.iter().map(|addr| (*addr, 1)).collect(),
            cidrs: node.cidrs.iter().map(|cidr| (*cidr, 1)).collect(),
            links: node.links.clone(),
            ..Tables::default()
        };
        let actual = Tables {
            node_addrs: self.actual.node_addrs.clone(),
            cidrs: self.actual.cidrs.clone(),
            links: self.actual.links.clone(),
            ..Tables::default()
        };
        let edits = diff(&actual, &wanted);
        self.commit(&edits);
        edits
    }

    /// What cannot be done as the objects want it.
    pub fn problems(&self) -> Vec<Problem> {
        let own = self.parts.values().flat_map(|part| part.problems.clone());
        own.chain(self.contested.iter().flat_map(|key| self.conflicts(key))).collect()
    }

    /// What the kernel holds after the edits so far.
    pub fn actual(&self) -> &Tables {
        &self.actual
    }

    fn commit(&mut self, edits: &[Edit]) {
        for edit in edits {
            self.actual.apply(edit);
        }
    }

    /// Gives a port its ids and adds its entries to `part`. Ranges that are replaced go to `stale`.
    fn plan_port(&mut self, port: &PortPlan, rank: &Rank, part: &mut Part, stale: &mut Vec<Range>) {
        match self.entries(port, stale) {
            Some((id, tables)) => {
                part.ports.insert(port.name.clone());
                part.tables.services.insert(id, port.info);
                part.tables.backends.extend(tables.backends);
                part.tables.slots.extend(tables.slots);
                part.tables.frontends.extend(tables.frontends);
                part.claims
                    .extend(port.frontends.iter().map(|frontend| (frontend.key, rank.clone())));
            }
            None => part.problems.push(self.full(&port.name)),
        }
    }

    fn full(&self, name: &PortName) -> Problem {
        let Limits { services, backends, slots, .. } = self.ids.limits();
        Problem {
            subject: format!("Service {}", name.service),
            field: String::new(),
            message: format!(
                "port {name} is not programmed: a table is full (service ports {services}, backends \
                 {backends}, slots {slots}); raise the capacities"
            ),
        }
    }

    /// The entries of a port, all but its name; `None`: a table is full.
    fn entries(&mut self, port: &PortPlan, stale: &mut Vec<Range>) -> Option<(u32, Tables)> {
        let service = self.ids.service(&port.name)?;
        let mut tables = Tables::default();
        let mut ids = BTreeMap::new();
        for (key, backend) in &port.backends {
            let (id, mut generation) = self.ids.backend(service, *key)?;
            let known = self.actual.backends.get(&id).filter(|value| value.service == service);
            let stopped = known.is_some_and(|value| value.flags & BackendValue::SERVING != 0)
                && backend.flags & BackendValue::SERVING == 0;
            // UDP flows follow endpoints that serve; TCP does not look at the generation.
            if stopped {
                generation = self.ids.outdate(id);
            }
            ids.insert(*key, id);
            let proto = proto(port.name.protocol);
            let BackendKey { addr, port } = *key;
            let flags = backend.flags;
            tables.backends.insert(
                id,
                BackendValue { addr, port, proto, flags, service, generation, zero: [0; 4] },
            );
        }
        let cluster = self.set(port, service, TrafficPolicy::Cluster, &ids, stale)?;
        let local = self.set(port, service, TrafficPolicy::Local, &ids, stale)?;
        for range in [&cluster, &local].into_iter().filter(|range| !range.slots.is_empty()) {
            tables.slots.insert(range.base, range.slots.clone());
        }
        for frontend in &port.frontends {
            tables
                .frontends
                .insert(frontend.key, value(port, service, frontend, [&cluster, &local]));
        }
        Some((service, tables))
    }

    /// The range of one set of a port.
    fn set(
        &mut self,
        port: &PortPlan,
        service: u32,
        policy: TrafficPolicy,
        ids: &BTreeMap<BackendKey, u32>,
        stale: &mut Vec<Range>,
    ) -> Option<Range> {
        let wanted =
            port.frontends.iter().any(|f| f.inside.policy == policy || f.outside.policy == policy);
        let keys = match policy {
            TrafficPolicy::Cluster => &port.cluster,
            TrafficPolicy::Local => &port.local,
        };
        let slots = if wanted { slots(keys, ids, port.algorithm) } else { Vec::new() };
        let (range, old) = self.ids.range(service, policy == TrafficPolicy::Local, slots)?;
        stale.extend(old);
        Some(range)
    }

    /// Moves the claims from `old` to `new`, and gives the tables that both touch as they should
    /// be.
    fn merge(&mut self, old: &Part, new: &Part) -> Tables {
        for (key, rank) in &old.claims {
            if let Some(ranks) = self.claims.get_mut(key) {
                ranks.remove(rank);
            }
        }
        for (key, rank) in &new.claims {
            if let Some(value) = new.tables.frontends.get(key) {
                self.claims.entry(*key).or_default().insert(rank.clone(), *value);
            }
        }
        let mut wanted = new.tables.clone();
        wanted.frontends.clear();
        for key in old.claims.keys().chain(new.claims.keys()) {
            self.settle(*key, &mut wanted);
        }
        for (id, value) in &old.tables.backends {
            if !new.tables.backends.contains_key(id) {
                let key = BackendKey { addr: value.addr, port: value.port };
                if let Some((id, generation)) = self.ids.forget_backend(value.service, key) {
                    wanted.backends.insert(id, free_cell(value, generation));
                }
            }
        }
        wanted
    }

    /// Decides who holds a frontend.
    fn settle(&mut self, key: FrontendKey, wanted: &mut Tables) {
        let Some(ranks) = self.claims.get(&key) else { return };
        let claimants: BTreeSet<&ObjectName> =
            ranks.keys().map(|(_, name)| &name.service).collect();
        if claimants.len() > 1 {
            self.contested.insert(key);
        } else {
            self.contested.remove(&key);
        }
        match ranks.values().next() {
            Some(value) => drop(wanted.frontends.insert(key, *value)),
            None => drop(self.claims.remove(&key)),
        }
    }

    /// What the kernel holds of the entries that `old` and `new` touch.
    fn portion(&self, old: &Part, new: &Part) -> Tables {
        let (a, b) = (&old.tables, &new.tables);
        let keys = old.claims.keys().chain(new.claims.keys());
        Tables {
            services: pick(&self.actual.services, a.services.keys().chain(b.services.keys())),
            backends: pick(&self.actual.backends, a.backends.keys().chain(b.backends.keys())),
            slots: pick(&self.actual.slots, b.slots.keys()),
            frontends: pick(&self.actual.frontends, keys),
            ..Tables::default()
        }
    }

    /// One sentence for everybody who does not hold a contested frontend.
    fn conflicts(&self, key: &FrontendKey) -> Vec<Problem> {
        let Some(ranks) = self.claims.get(key) else { return Vec::new() };
        let Some(((_, holder), _)) = ranks.first_key_value() else { return Vec::new() };
        let losers: BTreeSet<_> = ranks.keys().map(|(_, name)| &name.service).collect();
        let sentence = |service: &&ObjectName| Problem {
            subject: format!("Service {service}"),
            field: String::new(),
            message: format!(
                "{} already belongs to Service {}; it stays there",
                at(key),
                holder.service
            ),
        };
        losers.iter().filter(|service| **service != &holder.service).map(sentence).collect()
    }
}

/// A frontend for people.
fn at(key: &FrontendKey) -> String {
    let FrontendKey { addr, port, proto, .. } = key;
    match *addr {
        Addr::ANY => format!("node port {port}/{proto}"),
        addr => format!("{}/{proto}", std::net::SocketAddr::new(addr.to_ip(), port.number())),
    }
}

fn free_cell(value: &BackendValue, generation: u32) -> BackendValue {
    let (port, proto) = (Port::NONE, IpProto(0));
    BackendValue { addr: Addr::ANY, port, proto, flags: 0, service: 0, generation, ..*value }
}

fn value(
    port: &PortPlan,
    service: u32,
    plan: &FrontendPlan,
    [cluster, local]: [&Range; 2],
) -> FrontendValue {
    let choice = |side: Side| {
        let range = match side.policy {
            TrafficPolicy::Cluster => cluster,
            TrafficPolicy::Local => local,
        };
        Choice { base: range.base, len: range.slots.len() as u32, flags: side.flags }
    };
    FrontendValue {
        service,
        affinity: port.affinity_timeout_s.map_or(0, |_| service),
        affinity_timeout_s: port.affinity_timeout_s.unwrap_or(0),
        inside: choice(plan.inside),
        outside: choice(plan.outside),
        kind: plan.kind,
        zero: [0; 3],
    }
}

/// The slots of a set of backends.
fn slots(keys: &[BackendKey], ids: &BTreeMap<BackendKey, u32>, algorithm: Algorithm) -> Vec<u32> {
    let ids: Vec<u32> = keys.iter().filter_map(|key| ids.get(key).copied()).collect();
    if algorithm == Algorithm::Random || ids.is_empty() {
        return ids;
    }
    // Named by address and port, so that every node builds the same table.
    let named = |key: &BackendKey| {
        Permutation::new(format!("{}:{}", key.addr, key.port).as_bytes(), maglev::TABLE_LEN as u32)
    };
    let mut permutations: Vec<Permutation> = keys.iter().map(named).collect();
    let mut table = vec![0; maglev::TABLE_LEN];
    maglev::fill(&mut table, &mut permutations);
    table.into_iter().filter_map(|index| ids.get(index as usize).copied()).collect()
}

fn pick<'a, K: Ord + Copy + 'a, V: Clone>(
    from: &BTreeMap<K, V>,
    keys: impl Iterator<Item = &'a K>,
) -> BTreeMap<K, V> {
    keys.filter_map(|key| Some((*key, from.get(key)?.clone()))).collect()
}

fn union<'a, K: Ord + Copy + 'a, V: Clone + 'a>(
    maps: impl Iterator<Item = &'a BTreeMap<K, V>>,
) -> BTreeMap<K, V> {
    maps.flatten().map(|(key, value)| (*key, value.clone())).collect()
}
