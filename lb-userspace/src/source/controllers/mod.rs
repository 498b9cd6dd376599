//! What a control plane would do, for a host that has none: addresses, node ports and endpoints.
//!
//! `derive` turns the objects of the folder into the snapshot that a cluster's API would have
//! given. It is a function of its arguments: the same objects and the same memory give the same
//! snapshot. It reads no file and watches nothing. The real ones are kube-apiserver's allocators,
//! and the endpoint slice and endpoint slice mirroring controllers of kube-controller-manager.

// What a Service asks for.
mod draft;
mod family;
// What it had before, and where a search begins.
mod hash;
/// `allocations.json`.
pub mod memory;
// What it is given.
mod cluster_ip;
mod node_port;
// Who serves it.
pub(crate) mod pod;
mod endpoints;
mod mirror;
mod probed;
mod slices;
// What only a person wants to know.
mod ingress;

pub use memory::Memory;

use crate::model::{Node, ObjectName, Problem, Service, Snapshot};
use crate::source::convert;
use crate::source::document::Kind;
use crate::source::readiness::Readiness;
use crate::source::report::Report;
use crate::source::settings::Settings;
use draft::Draft;
use endpoints::Facts;
use k8s_openapi::api::{
    core::v1 as core, discovery::v1 as discovery, networking::v1 as networking,
};
use slices::Slices;
use std::collections::BTreeMap;

/// An object and where it stands, for sentences about it.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// `kubia.yaml document 2 (Service default/kubia)`.
    pub subject: String,
    /// The object as written, without what could not be read.
    pub object: T,
    /// What that was.
    pub lost: Vec<Problem>,
}

impl<T> Found<T> {
    /// A report about it that says nothing of what could not be read.
    pub(crate) fn report(&self) -> Report {
        Report::new(self.subject.as_str()).without(&self.lost)
    }
}

/// All objects that matter, each once.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// v1 Services.
    pub services: BTreeMap<ObjectName, Found<core::Service>>,
    /// v1 Endpoints.
    pub endpoints: BTreeMap<ObjectName, Found<core::Endpoints>>,
    /// discovery.k8s.io/v1 slices, written by hand.
    pub slices: BTreeMap<ObjectName, Found<discovery::EndpointSlice>>,
    /// v1 Pods.
    pub pods: BTreeMap<ObjectName, Found<core::Pod>>,
    /// networking.k8s.io/v1 Ingresses, which are only checked.
    pub ingresses: BTreeMap<ObjectName, Found<networking::Ingress>>,
    /// v1 Nodes, by name.
    pub nodes: BTreeMap<String, Found<core::Node>>,
}

/// What a control plane would have made of `objects`, and what is wrong with them.
/// `memory` learns what each Service was given; `readiness` is what probes found.
pub fn derive(
    objects: &Objects,
    settings: &Settings,
    memory: &mut Memory,
    readiness: &Readiness,
) -> (Snapshot, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut drafts = drafts(objects, &mut problems);
    cluster_ip::assign(&mut drafts, &settings.service_cidrs, memory);
    node_port::assign(&mut drafts, &settings.node_port_range, memory);

    let mut slices = written_slices(objects, readiness, &mut problems);
    for slice in mirror::slices(&drafts, &objects.endpoints, readiness, &mut problems) {
        slices.insert_made(slice);
    }
    let facts = Facts { zones: &zones(objects), readiness };
    endpoints::add(&mut slices, &mut drafts, &objects.pods, &facts);

    let node = own_node(objects, settings, &mut problems);
    let services = finish(drafts, &mut problems);
    ingress::check(&objects.ingresses, &services, &mut problems);
    (Snapshot { services, slices: slices.by_service(), node }, problems)
}

fn drafts(objects: &Objects, problems: &mut Vec<Problem>) -> BTreeMap<ObjectName, Draft> {
    let mut drafts = BTreeMap::new();
    for found in objects.services.values() {
        match Draft::new(&found.object, found.report()) {
            Ok(draft) => drop(drafts.insert(draft.service.name.clone(), draft)),
            Err(report) => problems.extend(report.into_problems()),
        }
    }
    drafts
}

fn finish(
    drafts: BTreeMap<ObjectName, Draft>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<ObjectName, Service> {
    let finish = |(name, draft): (ObjectName, Draft)| {
        problems.extend(draft.report.into_problems());
        (name, draft.service)
    };
    drafts.into_iter().map(finish).collect()
}

fn written_slices(objects: &Objects, readiness: &Readiness, problems: &mut Vec<Problem>) -> Slices {
    let mut slices = Slices::default();
    for found in objects.slices.values() {
        let mut report = found.report();
        if let Some(mut slice) = convert::endpoint_slice(&found.object, &mut report) {
            probed::apply(&mut slice.endpoints, Kind::EndpointSlice, &slice.name, readiness);
            slices.insert_written(slice);
        }
        problems.extend(report.into_problems());
    }
    slices
}

/// Zone of each Node that says one.
fn zones(objects: &Objects) -> BTreeMap<&str, String> {
    let zone = |found: &Found<core::Node>| {
        let node = convert::node(&found.object, &mut Report::new(""))?;
        node.zone().map(str::to_owned)
    };
    let nodes = objects.nodes.iter();
    nodes.filter_map(|(name, found)| Some((name.as_str(), zone(found)?))).collect()
}

/// The agent's own Node: the object, or one that has only a name.
fn own_node(objects: &Objects, settings: &Settings, problems: &mut Vec<Problem>) -> Node {
    let mut own = None;
    for (name, found) in &objects.nodes {
        let mut report = found.report();
        let node = convert::node(&found.object, &mut report);
        problems.extend(report.into_problems());
        own = own.or(node.filter(|_| *name == settings.node));
    }
    let bare = || Node { name: settings.node.clone(), eligible: true, ..Node::default() };
    own.unwrap_or_else(bare)
}
