//! What an address means at all: the entries of `ADDRESSES`, derived from everything else.
//!
//! An address may be the node's, have frontends of several Services, and be an endpoint's. Its
//! meaning is looked up anew for the addresses that a change touched, so the cost of a change is
//! the size of the change.

use super::planner::NodeTables;
use super::tables::{Edit, Tables};
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::wire::{Addr, IpProto, Port};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of addresses besides the frontends at them.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The node's addresses that serve node ports.
    node: BTreeSet<Addr>,
    answer_ping: bool,
    /// How many backends are at an address.
    hosts: BTreeMap<Addr, u32>,
}

impl Addresses {
    /// Begins with what the tables hold.
    pub(super) fn adopt(actual: &Tables) -> Self {
        let has = |bit: u32| move |bits: &u32| AddressValue(*bits).has(bit);
        let node = has(AddressValue::NODE_PORTS);
        let mut addresses = Self {
            node: actual.addresses.iter().filter(|(_, bits)| node(bits)).map(|(a, _)| *a).collect(),
            answer_ping: actual.addresses.values().any(has(AddressValue::ANSWERS_PING)),
            hosts: BTreeMap::new(),
        };
        for cell in actual.backends.values() {
            addresses.count(cell, true);
        }
        addresses
    }

    /// Takes in the node. Gives the addresses whose meaning may change.
    pub(super) fn set_node(&mut self, node: &NodeTables, actual: &Tables) -> BTreeSet<Addr> {
        let all = self.answer_ping != node.answer_ping;
        let is_node = |bits: u32| AddressValue(bits).has(AddressValue::NODE_PORTS);
        let known = actual.addresses.iter().filter(|(_, bits)| all || is_node(**bits));
        let touched = known.map(|(addr, _)| *addr).chain(node.addrs.iter().copied()).collect();
        self.node.clone_from(&node.addrs);
        self.answer_ping = node.answer_ping;
        touched
    }

    /// Follows an edit that is about to be made to `actual`. Gives the addresses whose meaning it
    /// may change.
    pub(super) fn follow(&mut self, edit: &Edit, actual: &Tables) -> Vec<Addr> {
        match edit {
            Edit::Frontend(key, _) => vec![key.addr],
            Edit::Backend(id, value) => {
                let before = actual.backends.get(id);
                if let Some(cell) = before {
                    self.count(cell, false);
                }
                self.count(value, true);
                before.map(|cell| cell.addr).into_iter().chain([value.addr]).collect()
            }
            Edit::Slots(..)
            | Edit::Service(..)
            | Edit::Address(..)
            | Edit::SourceRange(..)
            | Edit::Sibling(..)
            | Edit::Cidr(..)
            | Edit::Link(..) => Vec::new(),
        }
    }

    fn count(&mut self, cell: &BackendValue, comes: bool) {
        if cell.service == 0 {
            return;
        }
        let count = self.hosts.entry(cell.addr).or_default();
        *count = if comes { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.hosts.remove(&cell.addr);
        }
    }

    /// What each of `addrs` means in `tables`; those that mean nothing are left out.
    pub(super) fn meanings(&self, addrs: &BTreeSet<Addr>, tables: &Tables) -> BTreeMap<Addr, u32> {
        let meaning = |addr: &Addr| (*addr, self.meaning(*addr, tables));
        // The key of node ports is no address.
        let real = addrs.iter().filter(|addr| **addr != Addr::ANY);
        real.map(meaning).filter(|(_, bits)| *bits != 0).collect()
    }

    fn meaning(&self, addr: Addr, tables: &Tables) -> u32 {
        let set = |on, bit| if on { bit } else { 0 };
        let node = set(self.node.contains(&addr), AddressValue::NODE_PORTS);
        let backend = set(self.hosts.contains_key(&addr), AddressValue::BACKEND);
        let frontends = at(addr, tables).map(|value| self.frontend(value));
        frontends.fold(node | backend, |bits, more| bits | more)
    }

    /// What a frontend adds to the meaning of its address.
    fn frontend(&self, value: &FrontendValue) -> u32 {
        let set = |on, bit| if on { bit } else { 0 };
        let usable = value.inside.slots() != 0 || value.outside.slots() != 0;
        AddressValue::FRONTEND
            | set(value.kind == FrontendValue::CLUSTER_IP, AddressValue::CLUSTER_IP)
            | set(self.answer_ping && usable, AddressValue::ANSWERS_PING)
    }
}

/// The frontends at an address.
fn at(addr: Addr, tables: &Tables) -> impl Iterator<Item = &FrontendValue> {
    let first = FrontendKey::of(addr, Port::NONE, IpProto(0));
    let own = move |(key, _): &(&FrontendKey, &FrontendValue)| key.addr == addr;
    tables.frontends.range(first..).take_while(own).map(|(_, value)| value)
}
