//! Objects to the probes that they ask for on this node. Pure.
//!
//! A Pod is probed where its kubelet would run: on the node that `nodeName` names. One without
//! `nodeName` is probed wherever its manifest lies, because without a scheduler nobody writes the
//! field. Endpoints and slices written by hand ask by an annotation, for each of their addresses
//! that is not written as not ready.

use super::probe::Probe;
use super::read::{self, Context, NETNS, UNREADY, Unusable, Variable};
use crate::model::{ObjectName, Problem};
use crate::source::controllers::{Found, Objects, pod};
use crate::source::convert::field;
use crate::source::document::{self, Key, Kind};
use crate::source::readiness::Probed;
use crate::source::report::{Report, short};
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

/// A probe, or why it cannot be made.
pub(super) type Asked = Result<Probe, Unusable>;
/// Probes by what they are about.
pub(super) type Plan = BTreeMap<Probed, Asked>;

/// Where a probe is made, and what it may do.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The agent's node.
    pub(super) node: String,
    /// Commands may run.
    pub(super) commands: bool,
}

/// What `objects` ask for at `site`, and what is wrong about it.
pub(super) fn plan(objects: &Objects, site: &Site) -> (Plan, Vec<Problem>) {
    let (mut plan, mut problems) = (Plan::new(), Vec::new());
    for (name, found) in &objects.pods {
        let mut report = found.report();
        plan.extend(of_pod(name, &found.object, site, &mut report));
        problems.extend(report.into_problems());
    }
    for (name, found) in &objects.endpoints {
        let ask = |report: &mut Report| of_endpoints(name, &found.object, site, report);
        add_annotated(&mut plan, &mut problems, found, ask);
    }
    for (name, found) in &objects.slices {
        let ask = |report: &mut Report| of_slice(name, &found.object, site, report);
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
    ask: impl FnOnce(&mut Report) -> Vec<(Probed, Asked)>,
) {
    let mut report = found.report();
    plan.extend(ask(&mut report));
    let mut own = report.into_problems();
    own.sort();
    own.dedup();
    problems.extend(own);
}

fn limit(plan: &mut Plan) -> Option<Problem> {
    let mut left_out = plan.iter_mut().filter(|(_, asked)| asked.is_ok()).skip(MOST);
    let why = || Err(format!("there are more than {MOST} probes"));
    let (first, asked) = left_out.next()?;
    *asked = why();
    let mut more = 0;
    for (_, asked) in left_out {
        *asked = why();
        more += 1;
    }
    let message = format!(
        "there are more than {MOST} probes; this one and {more} more are not made, and what asks \
         for them counts as not ready"
    );
    Some(Problem { subject: first.to_string(), field: String::new(), message })
}

fn of_pod(
    name: &ObjectName,
    object: &core::Pod,
    site: &Site,
    report: &mut Report,
) -> Vec<(Probed, Asked)> {
    let mut probes = Vec::new();
    let Some(address) = pod::addresses(object).first().copied() else { return probes };
    if pod::is_over(object) || pod::node(object).is_some_and(|own| own != site.node) {
        return probes;
    }
    for (path, container) in pod::containers(object) {
        let context = Context {
            path: &format!("{path}.readinessProbe"),
            address,
            port: &|name| pod::port_number(container, name),
            environment: &environment(container, address),
            netns: field::annotation(&object.metadata, NETNS),
            commands: site.commands,
        };
        if let Some(asked) = of_container(container, &context, report) {
            let object = Key { kind: Kind::Pod, name: name.clone() };
            let container = called(&path, container);
            probes.push((Probed { object, address, container }, asked));
        }
    }
    probes
}

/// A probe that could not be read as one was written all the same.
fn of_container(
    container: &core::Container,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Asked> {
    match &container.readiness_probe {
        Some(probe) => Some(read::probe(probe, context, report)),
        None => report.lost(context.path).map(|lost| Err(lost.message.clone())),
    }
}

/// Where it stands makes it one of its own, as nobody here makes sure that its name does.
fn called(path: &str, container: &core::Container) -> String {
    let place = path.trim_start_matches("spec.");
    let name = short(&container.name, 63);
    if name.is_empty() { place.to_owned() } else { format!("{name} ({place})") }
}

/// What is written; values from objects that only an API server has are not known.
fn environment(container: &core::Container, address: IpAddr) -> Vec<Variable> {
    let own = Variable { name: ADDRESS.to_owned(), value: Some(address.to_string()) };
    let written = container.env.iter().flatten();
    let written = written.map(|one| {
        let from_elsewhere = one.value_from.is_some();
        let value = one.value.clone().or((!from_elsewhere).then(String::new));
        Variable { name: one.name.clone(), value }
    });
    written.chain([own]).collect()
}

fn of_endpoints(
    name: &ObjectName,
    object: &core::Endpoints,
    site: &Site,
    report: &mut Report,
) -> Vec<(Probed, Asked)> {
    let Some(written) = annotated(&object.metadata, report) else { return Vec::new() };
    let asks = Asks { metadata: &object.metadata, written: &written, site };
    let mut probes = Vec::new();
    for subset in object.subsets.iter().flatten() {
        let port = |wanted: &str| {
            let mut ports = subset.ports.iter().flatten();
            Some(ports.find(|port| port.name.as_deref() == Some(wanted))?.port)
        };
        for address in subset.addresses.iter().flatten() {
            let about = (Kind::Endpoints, name, address.ip.as_str());
            probes.extend(of_address(about, &asks, &port, report));
        }
    }
    probes
}

fn of_slice(
    name: &ObjectName,
    object: &discovery::EndpointSlice,
    site: &Site,
    report: &mut Report,
) -> Vec<(Probed, Asked)> {
    let Some(written) = annotated(&object.metadata, report) else { return Vec::new() };
    let asks = Asks { metadata: &object.metadata, written: &written, site };
    let port = |wanted: &str| {
        let mut ports = object.ports.iter().flatten();
        ports.find(|port| port.name.as_deref() == Some(wanted))?.port
    };
    let endpoints = object.endpoints.iter().flatten().filter(|endpoint| is_wanted(endpoint));
    let mut probes = Vec::new();
    for address in endpoints.filter_map(|endpoint| endpoint.addresses.first()) {
        let about = (Kind::EndpointSlice, name, address.as_str());
        probes.extend(of_address(about, &asks, &port, report));
    }
    probes
}

/// Whether anything could become of what its probe says: it is ready, or at least still serves.
fn is_wanted(endpoint: &discovery::Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(|conditions| {
        let ready = conditions.ready.unwrap_or(true);
        ready || conditions.serving.unwrap_or(ready)
    })
}

/// What an object asks for each of its addresses.
struct Asks<'a> {
    metadata: &'a ObjectMeta,
    written: &'a Result<core::Probe, Unusable>,
    site: &'a Site,
}

/// An address that cannot be read has its sentence from whoever converts the object.
fn of_address(
    (kind, name, address): (Kind, &ObjectName, &str),
    asks: &Asks<'_>,
    port: &dyn Fn(&str) -> Option<i32>,
    report: &mut Report,
) -> Option<(Probed, Asked)> {
    let address = field::parse_address(address)?;
    let context = Context {
        path: &path(),
        address,
        port,
        environment: &[Variable { name: ADDRESS.to_owned(), value: Some(address.to_string()) }],
        netns: field::annotation(asks.metadata, NETNS),
        commands: asks.site.commands,
    };
    let written = asks.written.as_ref().map_err(Unusable::clone);
    let asked = written.and_then(|written| read::probe(written, &context, report));
    let object = Key { kind, name: name.clone() };
    Some((Probed { object, address, container: String::new() }, asked))
}

/// The probe in the annotation.
fn annotated(metadata: &ObjectMeta, report: &mut Report) -> Option<Result<core::Probe, Unusable>> {
    let text = field::annotation(metadata, PROBE)?;
    let (probe, odd) = match document::embedded::<core::Probe>(text) {
        Ok(read) => read,
        Err(message) => {
            report.add(path(), format!("{message}{UNREADY}"));
            return Some(Err(message));
        }
    };
    for (field, message) in odd {
        report.add(format!("{}.{field}", path()), message);
    }
    Some(Ok(probe))
}

fn path() -> String {
    format!("metadata.annotations[{PROBE}]")
}
