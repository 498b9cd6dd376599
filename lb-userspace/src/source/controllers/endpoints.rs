//! Services with a selector, and Pods, to slices: the endpoint slice controller (KEP 752).
//!
//! A slice holds the Pods of one family whose ports are the same numbers; a named target port may
//! be another number in each Pod. A Pod that is probed here is ready by its probes. Another counts
//! by its Ready condition; one written by hand without any condition is ready as soon as it has an
//! address.

use crate::model::{
    Endpoint, EndpointPort, EndpointSlice, ObjectName, Service, ServicePort, ServiceType,
    TargetPort,
};
use crate::source::controllers::Found;
use crate::source::controllers::draft::Draft;
use crate::source::controllers::family::Family;
use crate::source::controllers::hash::{fnv1a, suffix};
use crate::source::controllers::pod;
use crate::source::controllers::slices::Slices;
use crate::source::convert::field;
use crate::source::readiness::{Readiness, Verdict};
use k8s_openapi::api::core::v1 as api;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What is known beyond Services and Pods.
pub(super) struct Facts<'a> {
    /// Zones of nodes.
    pub(super) zones: &'a BTreeMap<&'a str, String>,
    /// What probes found.
    pub(super) readiness: &'a Readiness,
}

type Pods = BTreeMap<ObjectName, Found<api::Pod>>;
/// Endpoints by family and ports.
type Groups = BTreeMap<(Family, Vec<EndpointPort>), Vec<Endpoint>>;

/// Adds the slices of all Services that select Pods.
pub(super) fn add(
    slices: &mut Slices,
    drafts: &mut BTreeMap<ObjectName, Draft>,
    pods: &Pods,
    facts: &Facts<'_>,
) {
    for draft in drafts.values_mut().filter(|draft| selects(&draft.service)) {
        let selected = selected(&draft.service, pods);
        for (key, endpoints) in groups(&draft.service, &draft.families, &selected, facts) {
            slices.insert_made(slice(&draft.service, key, endpoints));
        }
        note_unknown_ports(draft, &selected);
        note_pods_without_address(draft, &selected);
    }
}

fn selects(service: &Service) -> bool {
    !service.selector.is_empty() && service.kind != ServiceType::ExternalName
}

/// Pods of the Service's namespace that carry all its labels and are not over.
fn selected<'a>(service: &Service, pods: &'a Pods) -> Vec<&'a api::Pod> {
    let in_namespace = pods.iter().filter(|(name, _)| name.namespace == service.name.namespace);
    let candidates = in_namespace.map(|(_, found)| &found.object).filter(|pod| !pod::is_over(pod));
    let carries =
        |pod: &api::Pod, key: &str, value: &str| field::label(&pod.metadata, key) == Some(value);
    candidates
        .filter(|pod| service.selector.iter().all(|(key, value)| carries(pod, key, value)))
        .collect()
}

fn groups(service: &Service, families: &[Family], pods: &[&api::Pod], facts: &Facts<'_>) -> Groups {
    // A headless Service on a host without service CIDRs has any family.
    let wanted = |family| families.is_empty() || families.contains(&family);
    let mut groups = Groups::new();
    for pod in pods {
        let ports = ports(service, pod);
        for address in
            pod::addresses(pod).into_iter().filter(|&address| wanted(Family::of(address)))
        {
            let group = groups.entry((Family::of(address), ports.clone())).or_default();
            group.push(endpoint(service, pod, address, facts));
        }
    }
    groups
}

fn endpoint(service: &Service, pod: &api::Pod, address: IpAddr, facts: &Facts<'_>) -> Endpoint {
    let verdict = verdict(service, pod, facts);
    let serving = match verdict {
        Verdict::Ready => true,
        Verdict::NotReady(_) => false,
        Verdict::Unprobed => is_ready(pod),
    };
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    Endpoint {
        address,
        ready: service.publish_not_ready || (serving && !terminating),
        serving,
        terminating,
        zone: node.as_deref().and_then(|node| facts.zones.get(node).cloned()),
        node,
        hint_zones: Vec::new(),
        hint_nodes: Vec::new(),
        hostname: hostname(service, pod),
        pod: pod.metadata.name.clone(),
        unready: verdict.reason(),
    }
}

/// Pods that a Service selects are in its namespace.
fn verdict<'a>(service: &Service, pod: &api::Pod, facts: &Facts<'a>) -> Verdict<'a> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    facts.readiness.pod(&ObjectName::new(service.name.namespace.as_str(), name))
}

fn is_ready(pod: &api::Pod) -> bool {
    let conditions =
        pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready =
        |condition: &api::PodCondition| condition.type_ == "Ready" && condition.status == "True";
    conditions.is_empty() || conditions.iter().any(ready)
}

/// A Pod has a name below the Service that its `subdomain` names.
fn hostname(service: &Service, pod: &api::Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let below = spec.subdomain.as_ref() == Some(&service.name.name);
    spec.hostname.clone().filter(|hostname| below && !hostname.is_empty())
}

/// The Service's ports as this Pod has them; a name that it does not know is left out.
fn ports(service: &Service, pod: &api::Pod) -> Vec<EndpointPort> {
    let resolved = |port: &ServicePort| {
        let number = resolve(port, pod)?;
        Some(EndpointPort { name: port.name.clone(), protocol: port.protocol, port: number })
    };
    service.ports.iter().filter_map(resolved).collect()
}

fn resolve(port: &ServicePort, pod: &api::Pod) -> Option<u16> {
    match &port.target_port {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => container_port(name, port.protocol.name(), pod),
    }
}

/// By name and protocol.
fn container_port(name: &str, protocol: &str, pod: &api::Pod) -> Option<u16> {
    let containers = pod::containers(pod);
    let mut ports = containers.iter().flat_map(|(_, container)| container.ports.iter().flatten());
    let same = |port: &&api::ContainerPort| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
    };
    u16::try_from(ports.find(same)?.container_port).ok().filter(|&number| number != 0)
}

fn slice(
    service: &Service,
    (family, ports): (Family, Vec<EndpointPort>),
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    // The name depends on the ports, so that slices keep theirs while others come and go.
    let what =
        ports.iter().map(|port| format!(" {}:{}/{}", port.name, port.port, port.protocol.name()));
    let hash = fnv1a(&format!("{} {family}{}", service.name, what.collect::<String>()));
    let name = format!("{}-{}", service.name.name, suffix(hash));
    EndpointSlice {
        name: ObjectName::new(service.name.namespace.as_str(), name),
        service: service.name.name.clone(),
        ports,
        endpoints,
        unusable: Vec::new(),
        trigger: None,
    }
}

fn note_unknown_ports(draft: &mut Draft, pods: &[&api::Pod]) {
    for (index, port) in draft.service.ports.iter().enumerate() {
        let nowhere = !pods.is_empty() && pods.iter().all(|pod| resolve(port, pod).is_none());
        if nowhere {
            let (target, protocol) = (&port.target_port, port.protocol.name());
            let message =
                format!("no selected Pod has a container port named {target} with {protocol}");
            draft.report.add(format!("{}.targetPort", draft.port_path(index)), message);
        }
    }
}

/// In a cluster the kubelet writes the address; here the manifest must.
fn note_pods_without_address(draft: &mut Draft, pods: &[&api::Pod]) {
    let lacks =
        |pod: &&&api::Pod| pod::addresses(pod).is_empty() && pod::phase(pod) != Some("Pending");
    for pod in pods.iter().filter(lacks) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        draft.report.add(
            "spec.selector",
            format!("selects Pod {name}, which has no usable status.podIP and is left out"),
        );
    }
}
