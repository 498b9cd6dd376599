//! The tables as packets see them: between any two edits.

use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_userspace::reconcile::{Edit, Tables};
use std::collections::BTreeMap;

/// The maps.
#[derive(Default)]
pub(super) struct Kernel {
    /// All but slots.
    tables: Tables,
    /// Every cell of `SLOTS` that was ever written.
    slots: BTreeMap<u32, u32>,
}

impl Kernel {
    /// Applies edits one by one, and looks around after each.
    pub(super) fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            if let Edit::Slots(base, ids) = edit {
                self.slots.extend((*base..).zip(ids.iter().copied()));
            } else {
                self.tables.apply(edit);
            }
            self.look();
        }
    }

    /// A packet finds a backend of the Service whose frontend it is aimed at, whenever it comes.
    fn look(&self) {
        let mut seen = BTreeMap::new();
        for value in self.tables.frontends.values() {
            assert!(self.tables.services.contains_key(&value.service), "a frontend of nobody");
            for choice in choices(value) {
                // Frontends of a service port share their ranges.
                if seen.insert(choice.base, (choice.len, value.service))
                    != Some((choice.len, value.service))
                {
                    self.look_at(choice, value.service);
                }
            }
        }
        assert_apart(&seen);
    }

    fn look_at(&self, choice: Choice, service: u32) {
        for id in self.ids(choice) {
            let owner = self.tables.backends[&id].service;
            assert_eq!(owner, service, "a slot names somebody else's backend");
        }
    }

    fn ids(&self, choice: Choice) -> impl Iterator<Item = u32> {
        (choice.base..choice.base + choice.len).map(|slot| self.slots[&slot])
    }

    /// What the next agent reads: of the slots, those that frontends point to.
    pub(super) fn read(&self) -> Tables {
        let ranges = self.tables.frontends.values().flat_map(choices);
        let slots = ranges.map(|choice| (choice.base, self.ids(choice).collect())).collect();
        Tables { slots, ..self.tables.clone() }
    }
}

/// The ranges that a frontend points to.
fn choices(value: &FrontendValue) -> impl Iterator<Item = Choice> + use<> {
    [value.inside, value.outside].into_iter().filter(|choice| choice.len != 0)
}

/// No slot is in two ranges.
fn assert_apart(ranges: &BTreeMap<u32, (u32, u32)>) {
    let ends = ranges.iter().map(|(base, (len, _))| base + len);
    for (end, (next, _)) in ends.zip(ranges.iter().skip(1)) {
        assert!(end <= *next, "the range before slot {next} ends at {end}");
    }
}
