//! Objects to the probes that they ask for on this node. Pure.
//!
//! A Pod is probed where its kubelet would run: on the node that `nodeName` names. One without
//! `nodeName` is probed wherever its manifest lies, because without a scheduler nobody writes the
//! field. Endpoints and slices written by hand ask by an annotation, for each of their addresses.

use super::probe::Probe;
use super::read::{self, Context, NETNS};
use crate::model::{ObjectName, Problem};
use crate::source::controllers::{Found, Objects, pod};
use crate::source::convert::field;
use crate::source::document::{self, Key, Kind};
use crate::source::readiness::Probed;
use crate::source::report::Report;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A probe as YAML or JSON, for each address of Endpoints or an `EndpointSlice`.
const PROBE: &str = "service.lb/readiness-probe";
/// The address, for commands.
const ADDRESS: &str = "LB_ADDRESS";
/// Probes of a node at most; a kubelet has some hundred Pods.
const MOST: usize = 5_000;

/// Probes by what they are about.
pub(super) type Plan = BTreeMap<Probed, Probe>;

/// What `objects` ask for on `node`, and what is wrong about it.
pub(super) fn plan(objects: &Objects, node: &str) -> (Plan, Vec<Problem>) {
    let (mut plan, mut problems) = (Plan::new(), Vec::new());
    for (name, found) in &objects.pods {
        let mut report = found.report();
        plan.extend(of_pod(name, &found.object, node, &mut report));
        problems.extend(report.into_problems());
    }
    for (name, found) in &objects.endpoints {
        let ask = |report: &mut Report| of_endpoints(name, &found.object, report);
        add_annotated(&mut plan, &mut problems, found, ask);
    }
    for (name, found) in &objects.slices {
        let ask = |report: &mut Report| of_slice(name, &found.object, report);
        add_annotated(&mut plan, &mut problems, found, ask);
    }
    problems.extend(limit(&mut plan));
    (plan, problems)
}

/// The same mistake is found once for each address.
fn add_annotated<T>(
    plan: &mut Plan,
    problems: &mut Vec<Problem>,
    found: &Found<T>,
    ask: impl FnOnce(&mut Report) -> Vec<(Probed, Probe)>,
) {
    let mut report = found.report();
    plan.extend(ask(&mut report));
    let mut own = report.into_problems();
    own.sort();
    own.dedup();
    problems.extend(own);
}

fn limit(plan: &mut Plan) -> Option<Problem> {
    let first = plan.keys().nth(MOST)?.clone();
    let left_out = plan.split_off(&first);
    Some(Problem {
        subject: first.to_string(),
        field: String::new(),
        message: format!(
            "there are more than {MOST} probes; this one and {} more are not made",
            left_out.len() - 1
        ),
    })
}

fn of_pod(
    name: &ObjectName,
    object: &core::Pod,
    node: &str,
    report: &mut Report,
) -> Vec<(Probed, Probe)> {
    let mut probes = Vec::new();
    let Some(address) = pod::addresses(object).first().copied() else { return probes };
    if pod::is_over(object) || pod::node(object).is_some_and(|own| own != node) {
        return probes;
    }
    for (path, container) in pod::containers(object) {
        let Some(probe) = &container.readiness_probe else { continue };
        let context = Context {
            path: &format!("{path}.readinessProbe"),
            address,
            port: &|name| pod::port_number(container, name),
            environment: environment(container, address),
            netns: field::annotation(&object.metadata, NETNS),
        };
        if let Some(probe) = read::probe(probe, &context, report) {
            let object = Key { kind: Kind::Pod, name: name.clone() };
            probes.push((Probed { object, address, container: container.name.clone() }, probe));
        }
    }
    probes
}

/// Values that are written; others come from objects that only an API server has.
fn environment(container: &core::Container, address: IpAddr) -> Vec<(String, String)> {
    let written = container.env.iter().flatten();
    let written = written.filter_map(|one| Some((one.name.clone(), one.value.clone()?)));
    written.chain([(ADDRESS.to_owned(), address.to_string())]).collect()
}

fn of_endpoints(
    name: &ObjectName,
    object: &core::Endpoints,
    report: &mut Report,
) -> Vec<(Probed, Probe)> {
    let Some(written) = annotated(&object.metadata, report) else { return Vec::new() };
    let mut probes = Vec::new();
    for subset in object.subsets.iter().flatten() {
        let port = |wanted: &str| {
            let mut ports = subset.ports.iter().flatten();
            Some(ports.find(|port| port.name.as_deref() == Some(wanted))?.port)
        };
        let listed = [&subset.addresses, &subset.not_ready_addresses];
        for address in listed.into_iter().flatten().flatten() {
            let about = (Kind::Endpoints, name, address.ip.as_str());
            probes.extend(of_address(about, (&object.metadata, &written), &port, report));
        }
    }
    probes
}

fn of_slice(
    name: &ObjectName,
    object: &discovery::EndpointSlice,
    report: &mut Report,
) -> Vec<(Probed, Probe)> {
    let Some(written) = annotated(&object.metadata, report) else { return Vec::new() };
    let port = |wanted: &str| {
        let mut ports = object.ports.iter().flatten();
        ports.find(|port| port.name.as_deref() == Some(wanted))?.port
    };
    let addresses =
        object.endpoints.iter().flatten().filter_map(|endpoint| endpoint.addresses.first());
    let about = |address| (Kind::EndpointSlice, name, address);
    let mut probes = Vec::new();
    for address in addresses {
        let written = (&object.metadata, &written);
        probes.extend(of_address(about(address.as_str()), written, &port, report));
    }
    probes
}

/// An address that cannot be read has its sentence from whoever converts the object.
fn of_address(
    (kind, name, address): (Kind, &ObjectName, &str),
    (metadata, written): (&ObjectMeta, &core::Probe),
    port: &dyn Fn(&str) -> Option<i32>,
    report: &mut Report,
) -> Option<(Probed, Probe)> {
    let address = field::parse_address(address)?;
    let context = Context {
        path: &path(),
        address,
        port,
        environment: vec![(ADDRESS.to_owned(), address.to_string())],
        netns: field::annotation(metadata, NETNS),
    };
    let probe = read::probe(written, &context, report)?;
    let object = Key { kind, name: name.clone() };
    Some((Probed { object, address, container: String::new() }, probe))
}

/// The probe in the annotation.
fn annotated(metadata: &ObjectMeta, report: &mut Report) -> Option<core::Probe> {
    let text = field::annotation(metadata, PROBE)?;
    let (probe, odd) = match document::embedded::<core::Probe>(text) {
        Ok(read) => read,
        Err(message) => {
            report.add(path(), format!("{message}; no probe is made"));
            return None;
        }
    };
    for (field, message) in odd {
        report.add(format!("{}.{field}", path()), message);
    }
    Some(probe)
}

fn path() -> String {
    format!("metadata.annotations[{PROBE}]")
}
