//! Sums over the tables, for people and metrics.

use super::tables::Tables;
use crate::compile::Family;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::name;
use std::collections::{BTreeMap, BTreeSet};

impl Tables {
    /// How many entries each map has that the agent fills.
    pub fn entries(&self) -> [(&'static str, usize); 9] {
        [
            (name::SERVICES, self.services.len()),
            (name::FRONTENDS, self.frontends.len()),
            (name::BACKENDS, self.used_backends()),
            (name::SLOTS, self.slots.values().map(Vec::len).sum()),
            (name::SOURCE_RANGES, self.source_ranges.len()),
            (name::SIBLINGS, self.siblings.len()),
            (name::LINKS, self.links.len()),
            (name::ADDRESSES, self.addresses.len()),
            (name::CLUSTER_CIDRS, self.cidrs.len()),
        ]
    }

    /// Cells that an endpoint has.
    pub fn used_backends(&self) -> usize {
        self.backends.values().filter(|backend| backend.service != 0).count()
    }

    /// How many service ports have usable endpoints, but none on this node where a `Local` policy
    /// asks for it.
    pub fn without_local_endpoints(&self) -> BTreeMap<(Policy, Family), usize> {
        let mut found = BTreeSet::new();
        for value in self.frontends.values() {
            let (policy, choice) = if value.kind == FrontendValue::CLUSTER_IP {
                (Policy::Internal, value.inside)
            } else {
                (Policy::External, value.outside)
            };
            if choice.slots() == 0 && choice.flags & Choice::DROP != 0 {
                found.insert((policy, value.service));
            }
        }
        let all = Policy::ALL.into_iter().flat_map(|policy| Family::ALL.map(|of| (policy, of)));
        let mut counts: BTreeMap<_, usize> = all.map(|key| (key, 0)).collect();
        for (policy, service) in found {
            let family = self.services.get(&service).and_then(|info| Family::numbered(info.family));
            if let Some(count) = family.and_then(|family| counts.get_mut(&(policy, family))) {
                *count += 1;
            }
        }
        counts
    }
}

/// Which traffic policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// `internalTrafficPolicy`.
    Internal,
    /// `externalTrafficPolicy`.
    External,
}

impl Policy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Internal, Self::External];

    /// kube-proxy's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}
