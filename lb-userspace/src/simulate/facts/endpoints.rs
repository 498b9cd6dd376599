//! Endpoints of service ports, from `BACKENDS`.

use super::{port_name, service_name};
use crate::reconcile::Tables;
use crate::simulate::expect::facts::{EndpointSets, Expectations, KnownEndpoint};
use crate::simulate::report::{Check, json};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::Choice;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// `expectLocalReadyEndpoints`: distinct addresses by Service, those that have none left out.
pub(super) fn local_ready(expected: &Expectations, tables: &Tables) -> Option<Check> {
    let expected = expected.local_ready.as_ref()?;
    let expected: BTreeMap<String, usize> =
        expected.iter().filter(|(_, count)| **count != 0).map(|(k, v)| (k.clone(), *v)).collect();
    Some(Check::fact("expectLocalReadyEndpoints", &expected, &local_ready_counts(tables)))
}

fn local_ready_counts(tables: &Tables) -> BTreeMap<String, usize> {
    let mut addrs = BTreeMap::<String, BTreeSet<IpAddr>>::new();
    for cell in
        tables.backends.values().filter(|cell| has(cell, BackendValue::LOCAL | BackendValue::READY))
    {
        if let Some(service) = tables.services.get(&cell.service) {
            let name = service_name(service).to_string();
            addrs.entry(name).or_default().insert(cell.addr.to_ip());
        }
    }
    addrs.into_iter().map(|(name, addrs)| (name, addrs.len())).collect()
}

/// `expectEndpoints`: whom new connections may choose.
pub(super) fn sets(expected: &Expectations, tables: &Tables) -> Option<Check> {
    let expected = expected.endpoints.as_ref()?;
    let ids = ids(tables, &expected.service);
    let cells: Vec<&BackendValue> =
        tables.backends.values().filter(|cell| ids.contains(&cell.service)).collect();
    let frontends = tables.frontends.values().filter(|value| ids.contains(&value.service));
    let choices: Vec<Choice> = frontends.flat_map(|value| [value.inside, value.outside]).collect();
    let used = |local| choices.iter().any(|choice| (choice.flags & Choice::LOCAL != 0) == local);
    let within =
        |bit| cells.iter().filter(|cell| has(cell, bit)).map(|cell| socket(cell)).collect();
    let ready = |cell: &&BackendValue| has(cell, BackendValue::READY);
    let leaving =
        |cell: &&BackendValue| has(cell, BackendValue::SERVING | BackendValue::TERMINATING);
    let actual = EndpointSets {
        service: expected.service.clone(),
        cluster: used(false).then(|| within(BackendValue::IN_CLUSTER_SET)),
        local: used(true).then(|| within(BackendValue::IN_LOCAL_SET)),
        any_endpoints_in_cluster: cells.iter().copied().any(|cell| ready(&cell) || leaving(&cell)),
    };
    Some(Check::fact(format!("expectEndpoints {}", expected.service), expected, &actual))
}

/// `expectEndpointsMap`: all that are known, usable or not.
pub(super) fn map(expected: &Expectations, tables: &Tables) -> Option<Check> {
    let wanted = expected.endpoints_map.as_ref()?;
    let scope = expected.endpoints_map_scope.as_deref();
    let mut actual = BTreeMap::<String, BTreeSet<KnownEndpoint>>::new();
    for cell in tables.backends.values().filter(|cell| cell.service != 0) {
        let Some(service) = tables.services.get(&cell.service) else { continue };
        if scope.is_none_or(|scope| service_name(service).to_string() == scope) {
            actual.entry(port_name(service)).or_default().insert(known(cell));
        }
    }
    let mut wanted = wanted.clone();
    wanted.retain(|_, endpoints| !endpoints.is_empty());
    let name = match scope {
        Some(scope) => format!("expectEndpointsMap {scope}"),
        None => "expectEndpointsMap".to_owned(),
    };
    let mut check = Check::of(name, json(&wanted), json(&actual), wanted == actual);
    if !check.ok {
        check.differences = differences(&wanted, &actual);
    }
    Some(check)
}

/// Endpoints of one map that are not in the other.
fn differences(
    wanted: &BTreeMap<String, BTreeSet<KnownEndpoint>>,
    actual: &BTreeMap<String, BTreeSet<KnownEndpoint>>,
) -> Vec<String> {
    let lines = |word: &str, of: &BTreeMap<_, BTreeSet<_>>, without: &BTreeMap<_, BTreeSet<_>>| {
        let pairs = of.iter().flat_map(|(port, all)| all.iter().map(move |one| (port, one)));
        let alone =
            pairs.filter(|(port, one)| without.get(*port).is_none_or(|all| !all.contains(*one)));
        alone.map(|(port, one)| format!("{word} {port} {}", json(one))).collect::<Vec<_>>()
    };
    [lines("missing ", wanted, actual), lines("extra   ", actual, wanted)].concat()
}

fn known(cell: &BackendValue) -> KnownEndpoint {
    KnownEndpoint {
        endpoint: socket(cell),
        is_local: has(cell, BackendValue::LOCAL),
        ready: has(cell, BackendValue::READY),
        serving: has(cell, BackendValue::SERVING),
        terminating: has(cell, BackendValue::TERMINATING),
    }
}

/// The ids of a service port, one per family.
fn ids(tables: &Tables, name: &str) -> BTreeSet<u32> {
    let own = tables.services.iter().filter(|(_, value)| port_name(value) == name);
    own.map(|(id, _)| *id).collect()
}

fn socket(cell: &BackendValue) -> SocketAddr {
    SocketAddr::new(cell.addr.to_ip(), cell.port.number())
}

fn has(cell: &BackendValue, bits: u8) -> bool {
    cell.service != 0 && cell.flags & bits == bits
}
