//! Who owns which part of the tables: one Service at a time, so that the cost of a change is the
//! size of the change.
//!
//! A Service changes in one step ([`Planner::update`]): its ports get what they need
//! ([`Draft`]), the claims on frontends are settled, and the difference to what the kernel holds
//! becomes edits. What a port no longer needs is given back only when nothing points to it any
//! more. A port that finds a table full stays as it was, and is tried again whenever something
//! else changed.

use super::addresses::Addresses;
use super::claims::Claims;
use super::draft::{Draft, free_cell};
use super::entry::{self, Entry};
use super::ids::{Full, Ids, Limits};
use super::step::Step;
use super::tables::{self, Edit, Tables, diff};
use crate::compile::reason::Standing;
use crate::compile::{Explanation, Family, Plan, PortName, PortPlan};
use crate::model::{ObjectName, Problem, Protocol};
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::node::LinkValue;
use lb_common::wire::Addr;
use std::collections::{BTreeMap, BTreeSet};

/// What the node contributes to the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTables {
    /// Addresses that serve node ports.
    pub addrs: BTreeSet<Addr>,
    /// Ranges of pod addresses: address and prefix length as in `CLUSTER_CIDRS`.
    pub cidrs: BTreeSet<([u8; 16], u32)>,
    /// Links by index.
    pub links: BTreeMap<u32, LinkValue>,
    /// Echo requests to virtual addresses with a usable endpoint are answered.
    pub answer_ping: bool,
}

/// The owner of all ids and claims.
#[derive(Debug)]
pub struct Planner {
    limits: Limits,
    ids: Ids,
    /// What the kernel holds. Slots: only ranges that somebody owns.
    actual: Tables,
    entries: BTreeMap<PortName, Entry>,
    claims: Claims,
    addresses: Addresses,
    /// Ports that were adopted and that nobody has planned since.
    unplanned: BTreeSet<PortName>,
    /// Ports that found a table full.
    waiting: BTreeMap<PortName, Waiting>,
}

/// A plan that found a table full.
#[derive(Debug)]
struct Waiting {
    created_s: i64,
    port: PortPlan,
    full: Full,
}

impl Planner {
    /// Begins with what the kernel's tables say.
    pub fn adopt(mut actual: Tables, limits: Limits) -> Self {
        let mut entries = entry::adopt(&actual);
        let mut ids = Ids::new(limits);
        ids.services.adopt(&entries.values().map(|entry| entry.id).collect());
        let used = actual.backends.iter().filter(|(_, cell)| cell.service != 0);
        ids.backends.adopt(&used.map(|(id, _)| *id).collect());
        for entry in entries.values_mut() {
            // What cannot be reserved belongs to another entry too; it is left alone.
            entry.ranges.retain(|base, len| ids.slots.reserve(*base, *len));
        }
        let owned: BTreeSet<u32> =
            entries.values().flat_map(|entry| entry.ranges.keys().copied()).collect();
        actual.slots.retain(|base, _| owned.contains(base));
        Self {
            limits,
            ids,
            addresses: Addresses::adopt(&actual),
            actual,
            claims: Claims::of(&entries),
            unplanned: entries.keys().cloned().collect(),
            entries,
            waiting: BTreeMap::new(),
        }
    }

    /// Ends the adoption: all Services that exist have been planned once. What the tables still
    /// hold of others goes away.
    pub fn forget_unplanned(&mut self) -> Vec<Edit> {
        let mut step = Step::default();
        for name in std::mem::take(&mut self.unplanned) {
            self.withdraw(name, &mut step);
        }
        let edits = self.finish(step);
        // An agent that was killed may have left addresses that mean nothing any more.
        let all = self.actual.addresses.keys().copied().collect();
        self.with_addresses(edits, &all)
    }

    /// Replaces the part of one Service; `None`: it is gone.
    pub fn update(&mut self, service: &ObjectName, plan: Option<&Plan>) -> Vec<Edit> {
        let mut step = Step::default();
        let mut gone = self.ports_of(service);
        if let Some(plan) = plan {
            let ports: BTreeMap<_, _> = plan.ports.iter().map(|port| (&port.name, port)).collect();
            let mut memory = self.memory_of(ports.keys().copied());
            for (name, port) in ports {
                gone.remove(name);
                let id = self.place(port, plan.created_s, memory, &mut step);
                memory = memory.or(id);
            }
        }
        for name in gone {
            self.withdraw(name, &mut step);
        }
        self.finish(step)
    }

    /// The node's part of the tables.
    pub fn update_node(&mut self, node: &NodeTables) -> Vec<Edit> {
        let addrs = self.addresses.set_node(node, &self.actual);
        let wanted = Tables {
            cidrs: node.cidrs.iter().map(|cidr| (*cidr, 1)).collect(),
            links: node.links.clone(),
            ..Tables::default()
        };
        let actual = Tables {
            cidrs: self.actual.cidrs.clone(),
            links: self.actual.links.clone(),
            ..Tables::default()
        };
        let edits = diff(&actual, &wanted);
        self.note(&edits);
        self.with_addresses(edits, &addrs)
    }

    /// What cannot be done as the objects want it.
    pub fn problems(&self) -> Vec<Problem> {
        let waiting = self.waiting.iter().map(|(name, waiting)| self.does_not_fit(name, waiting));
        waiting.chain(self.claims.problems()).collect()
    }

    /// Adds to an explanation of a Service that was planned what only the tables know: who holds
    /// what it claims, and whether there was room.
    pub fn complete(&self, explanation: &mut Explanation) {
        for port in &mut explanation.ports {
            let own = port.port_name(&explanation.service);
            let waiting = self.waiting.get(&own).map(|waiting| waiting.full.what);
            let keys: Vec<FrontendKey> = port.frontends.iter().map(|one| port.key(one)).collect();
            for (frontend, key) in port.frontends.iter_mut().zip(keys) {
                if frontend.standing.is_planned()
                    && let Some(standing) = self.standing(&own, &key, waiting)
                {
                    frontend.standing = standing;
                }
            }
        }
    }

    /// Why a port does not have a frontend that it wants, if that is so.
    fn standing(
        &self,
        own: &PortName,
        key: &FrontendKey,
        waiting: Option<&'static str>,
    ) -> Option<Standing> {
        match (self.claims.holder(key), waiting) {
            (Some(holder), _) if holder == own => None,
            (_, Some(table)) => Some(Standing::TableFull(table.into())),
            (Some(holder), None) => Some(Standing::Contested(holder.service.clone())),
            (None, None) => None,
        }
    }

    /// What the kernel holds after the edits so far.
    pub fn actual(&self) -> &Tables {
        &self.actual
    }

    /// The ports of a Service that are in the tables or wait.
    fn ports_of(&self, service: &ObjectName) -> BTreeSet<PortName> {
        let first = PortName {
            service: service.clone(),
            port: String::new(),
            protocol: Protocol::Tcp,
            family: Family::V4,
        };
        let own = |name: &&PortName| name.service == *service;
        let placed = self.entries.range(&first..).map(|(name, _)| name).take_while(own);
        let waiting = self.waiting.range(&first..).map(|(name, _)| name).take_while(own);
        placed.chain(waiting).cloned().collect()
    }

    /// Under which id clients are remembered for all of these ports of a Service together: the
    /// one that is in use, as long as one of the ports has it, so that nobody is forgotten.
    fn memory_of<'a>(&self, ports: impl Iterator<Item = &'a PortName>) -> Option<u32> {
        let entries: Vec<&Entry> = ports.filter_map(|name| self.entries.get(name)).collect();
        let has = |id: &u32| entries.iter().any(|entry| entry.id == *id);
        let in_use = entries.iter().filter_map(|entry| entry.shared_affinity()).find(has);
        in_use.or_else(|| entries.iter().map(|entry| entry.id).min())
    }

    /// Gives a port what it needs, or lets it wait as it is. Its Service remembers clients of all
    /// ports together under the id `memory`, or else under that of this port. Gives the port's id.
    fn place(
        &mut self,
        port: &PortPlan,
        created_s: i64,
        memory: Option<u32>,
        step: &mut Step,
    ) -> Option<u32> {
        let name = &port.name;
        self.unplanned.remove(name);
        self.waiting.remove(name);
        let old = self.entries.remove(name).unwrap_or_default();
        let mut draft = Draft::new(port, created_s, &old).sharing(memory);
        let filled = draft.fill(&mut self.ids, &self.actual);
        let fresh = filled.and_then(|()| step.room_for(&draft.new, &self.actual, self.limits));
        let Draft { new, tables, .. } = draft;
        match fresh {
            Ok(fresh) => {
                step.take(name, old, tables, fresh);
                let id = new.id;
                self.entries.insert(name.clone(), new);
                Some(id)
            }
            Err(full) => {
                self.ids.release(&new, &old);
                if old.id != 0 {
                    self.entries.insert(name.clone(), old);
                }
                let waiting = Waiting { created_s, port: port.clone(), full };
                self.waiting.insert(name.clone(), waiting);
                self.entries.get(name).map(|entry| entry.id)
            }
        }
    }

    /// Takes a port out.
    fn withdraw(&mut self, name: PortName, step: &mut Step) {
        self.unplanned.remove(&name);
        self.waiting.remove(&name);
        if let Some(old) = self.entries.remove(&name) {
            step.withdraw(&name, old);
        }
    }

    /// Ends a step. What waited may fit now that something was given back.
    fn finish(&mut self, step: Step) -> Vec<Edit> {
        let mut edits = self.commit(step);
        let mut changed = !edits.is_empty();
        while changed && !self.waiting.is_empty() {
            let mut step = Step::default();
            for (name, Waiting { created_s, port, .. }) in std::mem::take(&mut self.waiting) {
                let memory = self.memory_of(self.ports_of(&name.service).iter());
                self.place(&port, created_s, memory, &mut step);
            }
            let more = self.commit(step);
            changed = !more.is_empty();
            edits.extend(more);
        }
        edits
    }

    /// Turns a step into edits, and gives back what nobody needs after them.
    fn commit(&mut self, mut step: Step) -> Vec<Edit> {
        let nothing = Entry::default();
        let mut services: BTreeSet<u32> = step.wanted.services.keys().copied().collect();
        let mut frontends = BTreeSet::new();
        let (mut ranges, mut siblings) = (BTreeSet::new(), BTreeSet::new());
        for (name, old) in &step.before {
            let new = self.entries.get(name).unwrap_or(&nothing);
            self.claims.replace(name, old, new);
            services.insert(old.id);
            frontends.extend(old.frontends.keys().chain(new.frontends.keys()).copied());
            ranges.extend(old.source_ranges().chain(new.source_ranges()));
            siblings.extend(old.sibling_keys().chain(new.sibling_keys()));
            step.wanted.source_ranges.extend(new.source_ranges().map(|key| (key, 1)));
            let ids = new.siblings.values().copied();
            step.wanted.siblings.extend(new.sibling_keys().zip(ids));
            let gone = old.backends.iter().filter(|(key, id)| new.backends.get(key) != Some(id));
            for (_, id) in gone {
                let cell = self.actual.backends.get(id).map(free_cell);
                step.wanted.backends.extend(cell.map(|cell| (*id, cell)));
            }
        }
        step.wanted.frontends = frontends.iter().filter_map(|key| self.held(key)).collect();
        let touched = Tables {
            services: pick(&self.actual.services, &services),
            backends: pick(&self.actual.backends, step.wanted.backends.keys()),
            slots: pick(&self.actual.slots, step.wanted.slots.keys()),
            frontends: pick(&self.actual.frontends, &frontends),
            source_ranges: pick(&self.actual.source_ranges, &ranges),
            siblings: pick(&self.actual.siblings, &siblings),
            ..Tables::default()
        };
        let edits = diff(&touched, &step.wanted);
        let addrs = self.note(&edits);
        let edits = self.with_addresses(edits, &addrs);
        self.release(&step.before);
        edits
    }

    /// Surrounds edits that were noted by those of the addresses that they touch.
    fn with_addresses(&mut self, mut edits: Vec<Edit>, addrs: &BTreeSet<Addr>) -> Vec<Edit> {
        let actual = pick(&self.actual.addresses, addrs);
        let wanted = self.addresses.meanings(addrs, &self.actual);
        let (mut up, down) = tables::addresses(&actual, &wanted);
        self.note(&up);
        self.note(&down);
        up.append(&mut edits);
        up.extend(down);
        up
    }

    /// A frontend as the port has it that holds it.
    fn held(&self, key: &FrontendKey) -> Option<(FrontendKey, FrontendValue)> {
        let holder = self.entries.get(self.claims.holder(key)?)?;
        Some((*key, *holder.frontends.get(key)?))
    }

    /// Notes edits as made. Gives the addresses whose meaning they may change.
    fn note(&mut self, edits: &[Edit]) -> BTreeSet<Addr> {
        let mut addrs = BTreeSet::new();
        for edit in edits {
            addrs.extend(self.addresses.follow(edit, &self.actual));
            self.actual.apply(edit);
        }
        addrs
    }

    /// Gives back what ports had `before` and have no longer.
    fn release(&mut self, before: &[(PortName, Entry)]) {
        let nothing = Entry::default();
        for (name, old) in before {
            let new = self.entries.get(name).unwrap_or(&nothing);
            self.ids.release(old, new);
            for base in old.ranges.keys().filter(|base| !new.ranges.contains_key(base)) {
                self.actual.slots.remove(base);
            }
        }
    }

    fn does_not_fit(&self, name: &PortName, waiting: &Waiting) -> Problem {
        let Full { what, limit } = waiting.full;
        let meanwhile = if self.entries.contains_key(name) {
            "it stays as it was until there is room"
        } else {
            "it is not served until there is room"
        };
        Problem {
            subject: format!("Service {}", name.service),
            field: String::new(),
            message: format!(
                "{name} does not fit, the table of {what} is full ({limit}); {meanwhile}"
            ),
        }
    }
}

fn pick<'a, K: Ord + Copy + 'a, V: Clone>(
    from: &BTreeMap<K, V>,
    keys: impl IntoIterator<Item = &'a K>,
) -> BTreeMap<K, V> {
    keys.into_iter().filter_map(|key| Some((*key, from.get(key)?.clone()))).collect()
}
