//! v1 Endpoints, written by hand, to slices: the endpoint slice mirroring controller (KEP 752).
//!
//! Only for Services without selector; with one, Pods decide and the object is left alone.

use crate::model::{Endpoint, EndpointPort, EndpointSlice, ObjectName, Problem};
use crate::source::controllers::Found;
use crate::source::controllers::draft::Draft;
use crate::source::controllers::family::Family;
use crate::source::controllers::probed;
use crate::source::convert::field;
use crate::source::document::Kind;
use crate::source::readiness::Readiness;
use crate::source::report::Report;
use k8s_openapi::api::core::v1 as api;
use std::collections::BTreeMap;

const SKIP_MIRROR: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints that old clients use as a lock, not as addresses.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// The slices of all `objects`. One without Service waits for it.
pub(super) fn slices(
    drafts: &BTreeMap<ObjectName, Draft>,
    objects: &BTreeMap<ObjectName, Found<api::Endpoints>>,
    readiness: &Readiness,
    problems: &mut Vec<Problem>,
) -> Vec<EndpointSlice> {
    let mut slices = Vec::new();
    for found in objects.values().filter(|found| is_mirrored(&found.object)) {
        let (object, mut report) = (&found.object, found.report());
        if let Some(name) = field::object_name(&object.metadata, &mut report)
            && belongs_to_a_service(&name, drafts, &mut report)
        {
            for mut slice in mirror(&name, object, &mut report) {
                probed::apply(&mut slice.endpoints, Kind::Endpoints, &name, readiness);
                slices.push(slice);
            }
        }
        problems.extend(report.into_problems());
    }
    slices
}

fn is_mirrored(object: &api::Endpoints) -> bool {
    let skipped = field::label(&object.metadata, SKIP_MIRROR) == Some("true");
    !skipped && field::annotation(&object.metadata, LEADER).is_none()
}

fn belongs_to_a_service(
    name: &ObjectName,
    drafts: &BTreeMap<ObjectName, Draft>,
    report: &mut Report,
) -> bool {
    let message = match drafts.get(name) {
        None => format!("there is no Service {name}; the addresses wait for it"),
        Some(draft) if draft.service.selector.is_empty() => return true,
        Some(_) => format!(
            "Service {name} has a selector, so its endpoints are Pods and this object is ignored"
        ),
    };
    report.add("", message);
    false
}

/// A slice per subset and family, numbered in that order.
fn mirror(name: &ObjectName, object: &api::Endpoints, report: &mut Report) -> Vec<EndpointSlice> {
    let mut slices = Vec::new();
    for (index, subset) in object.subsets.iter().flatten().enumerate() {
        let path = format!("subsets[{index}]");
        let ports = ports(subset, &path, report);
        let endpoints = endpoints(subset, &path, report);
        for family in Family::ALL {
            let of_family = |endpoint: &&Endpoint| Family::of(endpoint.address) == family;
            let endpoints: Vec<_> = endpoints.iter().filter(of_family).cloned().collect();
            if !endpoints.is_empty() {
                let own = ObjectName::new(
                    name.namespace.as_str(),
                    format!("{}-{}", name.name, slices.len() + 1),
                );
                slices.push(EndpointSlice {
                    name: own,
                    service: name.name.clone(),
                    ports: ports.clone(),
                    endpoints,
                    unusable: Vec::new(),
                    trigger: None,
                });
            }
        }
    }
    slices
}

fn ports(subset: &api::EndpointSubset, path: &str, report: &mut Report) -> Vec<EndpointPort> {
    let list = subset.ports.iter().flatten().enumerate();
    list.filter_map(|(index, one)| port(one, &format!("{path}.ports[{index}]"), report)).collect()
}

fn port(port: &api::EndpointPort, path: &str, report: &mut Report) -> Option<EndpointPort> {
    field::endpoint_port(port.name.as_deref(), port.protocol.as_deref(), port.port, path, report)
}

fn endpoints(subset: &api::EndpointSubset, path: &str, report: &mut Report) -> Vec<Endpoint> {
    let lists = [
        ("addresses", &subset.addresses, true),
        ("notReadyAddresses", &subset.not_ready_addresses, false),
    ];
    let mut endpoints = Vec::new();
    for (list, addresses, ready) in lists {
        for (index, address) in addresses.iter().flatten().enumerate() {
            endpoints.extend(endpoint(
                address,
                ready,
                &format!("{path}.{list}[{index}].ip"),
                report,
            ));
        }
    }
    endpoints
}

fn endpoint(
    object: &api::EndpointAddress,
    ready: bool,
    path: &str,
    report: &mut Report,
) -> Option<Endpoint> {
    Some(Endpoint {
        address: field::host_address(&object.ip, path, report)?,
        ready,
        serving: ready,
        terminating: false,
        node: object.node_name.clone(),
        zone: None,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        hostname: object.hostname.clone(),
        pod: field::pod_name(object.target_ref.as_ref()),
        unready: None,
    })
}
