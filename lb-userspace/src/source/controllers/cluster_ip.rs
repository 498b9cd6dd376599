//! `ClusterIP`s: what kube-apiserver's allocator does, with KEP 563's rules for two families.
//!
//! Explicit addresses are kept wherever they lie, for there is no cluster to disagree; then come
//! the addresses that Services had before; new ones are searched from a hash of the name on, so
//! that a lost memory gives most Services the address they had.

use crate::model::{ObjectName, ServiceType};
use crate::source::controllers::draft::Draft;
use crate::source::controllers::family::{Family, Policy};
use crate::source::controllers::hash::fnv1a;
use crate::source::controllers::memory::Memory;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who has which address.
type Taken = BTreeMap<IpAddr, ObjectName>;

/// Gives every Service the addresses it wants, and `memory` the result.
pub(super) fn assign(
    drafts: &mut BTreeMap<ObjectName, Draft>,
    cidrs: &[IpNet],
    memory: &mut Memory,
) {
    let supported = supported(cidrs);
    let mut taken = Taken::new();
    let mut open = Vec::new();
    let held = memory.all_ips();
    let in_use = in_use(drafts, memory);
    for draft in drafts.values_mut() {
        settle_families(draft, &supported);
        open.extend(
            keep_explicit(draft, &in_use, &mut taken)
                .into_iter()
                .map(|family| (draft.service.name.clone(), family)),
        );
    }
    open.retain(|(name, family)| {
        !give(drafts, name, &mut taken, |taken| remembered(memory, name, *family, cidrs, taken))
    });
    open.retain(|(name, family)| {
        !give(drafts, name, &mut taken, |taken| {
            let free = |address: &IpAddr| !taken.contains_key(address) && !held.contains(address);
            search(name, *family, cidrs, taken.len() + held.len() + 1, free)
        })
    });
    for (name, family) in open {
        if let Some(draft) = drafts.get_mut(&name) {
            draft.report.add(
                "spec.clusterIP",
                format!("no {family} address is free in the service CIDRs, so it gets none"),
            );
        }
    }
    drafts.values_mut().for_each(in_family_order);
    let given = drafts.values().filter(|draft| !draft.service.cluster_ips.is_empty());
    memory.remember_ips(
        given.map(|draft| (&draft.service.name, draft.service.cluster_ips.as_slice())),
    );
}

/// Addresses that Services had before and still want: no newcomer takes them, explicit or not.
fn in_use(drafts: &BTreeMap<ObjectName, Draft>, memory: &Memory) -> Taken {
    let mut held = Taken::new();
    for (name, Draft { service, .. }) in drafts {
        if service.headless || service.kind == ServiceType::ExternalName {
            continue;
        }
        let explicit = &service.cluster_ips;
        let wanted = |address: &&IpAddr| explicit.is_empty() || explicit.contains(address);
        held.extend(memory.ips(name).iter().filter(wanted).map(|ip| (*ip, name.clone())));
    }
    held
}

/// The families of the service CIDRs; the first one is the default.
fn supported(cidrs: &[IpNet]) -> Vec<Family> {
    let mut families = Vec::new();
    for family in cidrs.iter().map(|cidr| Family::of(cidr.addr())) {
        if !families.contains(&family) {
            families.push(family);
        }
    }
    families
}

/// Decides the families of a Service: those of its explicit addresses, then those it names, then,
/// if it names none or leaves the choice, those of the host; as many as its policy asks for.
fn settle_families(draft: &mut Draft, supported: &[Family]) {
    let asked = std::mem::take(&mut draft.families);
    if draft.service.kind == ServiceType::ExternalName {
        return;
    }
    let explicit: Vec<_> =
        draft.service.cluster_ips.iter().map(|&address| Family::of(address)).collect();
    let (limit, open) = match draft.policy {
        Some(Policy::Prefer | Policy::Require) => (2, true),
        Some(Policy::Single) => (explicit.len().max(1), asked.is_empty()),
        None => (explicit.len().max(asked.len()).max(1), asked.is_empty()),
    };
    let usable = |family: &Family| {
        draft.service.headless || explicit.contains(family) || supported.contains(family)
    };
    let defaults = if open { supported } else { &[] };
    for &family in explicit.iter().chain(&asked).filter(|family| usable(family)).chain(defaults) {
        if draft.families.len() < limit && !draft.families.contains(&family) {
            draft.families.push(family);
        }
    }
    let missing: Vec<_> = asked.into_iter().filter(|family| !usable(family)).collect();
    note_missing(draft, &missing, supported);
}

fn note_missing(draft: &mut Draft, missing: &[Family], supported: &[Family]) {
    if draft.service.headless {
        return;
    }
    let none = draft.families.is_empty() && supported.is_empty();
    let report = &mut draft.report;
    for family in missing {
        report.add(
            "spec.ipFamilies",
            format!("there is no {family} service CIDR, so it gets no such address"),
        );
    }
    if draft.policy == Some(Policy::Require) && draft.families.len() < 2 {
        let message =
            "RequireDualStack needs service CIDRs of both families; it gets what there is";
        report.add("spec.ipFamilyPolicy", message);
    }
    if none {
        report.add(
            "spec.clusterIP",
            "no service CIDR is set (--service-cidr), so it gets no address",
        );
    }
}

/// Keeps the explicit addresses that nobody had before; the families that are still without one.
/// A Service that lost its address to another gets no other in its place: nobody would ask there.
fn keep_explicit(draft: &mut Draft, in_use: &Taken, taken: &mut Taken) -> Vec<Family> {
    let explicit = std::mem::take(&mut draft.service.cluster_ips);
    let settled: Vec<_> = explicit.iter().map(|&address| Family::of(address)).collect();
    for address in explicit {
        let own = &draft.service.name;
        let holder = taken.get(&address).or(in_use.get(&address)).filter(|holder| *holder != own);
        if let Some(owner) = holder {
            draft.report.add(
                "spec.clusterIP",
                format!("{address} belongs to Service {owner} already, so it gets none"),
            );
        } else {
            taken.insert(address, draft.service.name.clone());
            draft.service.cluster_ips.push(address);
        }
    }
    if draft.service.headless {
        return Vec::new();
    }
    draft.families.iter().copied().filter(|family| !settled.contains(family)).collect()
}

/// Gives the Service the address that `choose` finds, if it finds one.
fn give(
    drafts: &mut BTreeMap<ObjectName, Draft>,
    name: &ObjectName,
    taken: &mut Taken,
    choose: impl FnOnce(&Taken) -> Option<IpAddr>,
) -> bool {
    let Some(address) = choose(taken) else {
        return false;
    };
    let Some(draft) = drafts.get_mut(name) else {
        return false;
    };
    draft.service.cluster_ips.push(address);
    taken.insert(address, name.clone());
    true
}

fn remembered(
    memory: &Memory,
    name: &ObjectName,
    family: Family,
    cidrs: &[IpNet],
    taken: &Taken,
) -> Option<IpAddr> {
    let usable = |address: &IpAddr| {
        Family::of(*address) == family
            && !taken.contains_key(address)
            && cidrs.iter().any(|cidr| cidr.contains(address))
    };
    memory.ips(name).iter().copied().find(usable)
}

/// The first of the Service's own sequence of addresses that is `free`; one of `tries` must be.
fn search(
    name: &ObjectName,
    family: Family,
    cidrs: &[IpNet],
    tries: usize,
    free: impl Fn(&IpAddr) -> bool,
) -> Option<IpAddr> {
    let seed = fnv1a(&name.to_string());
    let mut cidrs = cidrs.iter().filter(|cidr| Family::of(cidr.addr()) == family);
    cidrs.find_map(|cidr| Pool::of(*cidr).from(seed).take(tries).find(&free))
}

/// The addresses of a network that a Service can have.
struct Pool {
    family: Family,
    first: u128,
    len: u128,
}

impl Pool {
    /// Without the network's own address and IPv4 broadcast, unless nothing else is there.
    fn of(cidr: IpNet) -> Self {
        let host_bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len());
        let size = 1_u128.checked_shl(host_bits).unwrap_or(u128::MAX);
        let (family, base) = match cidr.network() {
            IpAddr::V4(address) => (Family::Ipv4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (Family::Ipv6, address.to_bits()),
        };
        match (family, size) {
            (_, 1) | (Family::Ipv4, 2) => Self { family, first: base, len: size },
            (Family::Ipv4, size) => Self { family, first: base + 1, len: size - 2 },
            (Family::Ipv6, size) => Self { family, first: base + 1, len: size - 1 },
        }
    }

    /// All of them once, from one that `seed` names.
    fn from(&self, seed: u64) -> impl Iterator<Item = IpAddr> {
        let start = u128::from(seed) % self.len;
        let offsets = (start..self.len).chain(0..start);
        offsets.map(|offset| self.address(self.first + offset))
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.family {
            Family::Ipv4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            Family::Ipv6 => Ipv6Addr::from_bits(number).into(),
        }
    }
}

fn in_family_order(draft: &mut Draft) {
    let families = draft.families.clone();
    let place =
        |address: &IpAddr| families.iter().position(|&family| family == Family::of(*address));
    draft.service.cluster_ips.sort_by_key(place);
}
