//! What a v1 Pod says of itself, as far as endpoints and probes ask.

use crate::source::convert::field;
use k8s_openapi::api::core::v1 as api;
use std::net::IpAddr;

/// `status.podIPs`, or the older `podIP`: the first of each family, as the kubelet counts them.
pub(crate) fn addresses(pod: &api::Pod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let many = status.pod_ips.iter().flatten().map(|pod_ip| pod_ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in many.chain(status.pod_ip.as_deref()).filter_map(field::parse_address) {
        if !addresses.iter().any(|earlier| earlier.is_ipv4() == address.is_ipv4()) {
            addresses.push(address);
        }
    }
    addresses
}

/// All its containers have ended and none comes back.
pub(crate) fn is_over(pod: &api::Pod) -> bool {
    matches!(phase(pod), Some("Succeeded" | "Failed"))
}

/// `status.phase`.
pub(crate) fn phase(pod: &api::Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// `spec.nodeName`, if it says something.
pub(crate) fn node(pod: &api::Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// Containers with their paths; sidecars (init containers that stay) count as containers.
pub(crate) fn containers(pod: &api::Pod) -> Vec<(String, &api::Container)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let at = |list: &'static str| {
        move |(index, container): (usize, _)| (format!("spec.{list}[{index}]"), container)
    };
    let stays = |(_, container): &(usize, &api::Container)| {
        container.restart_policy.as_deref() == Some("Always")
    };
    let sidecars = spec.init_containers.iter().flatten().enumerate().filter(stays);
    let containers = spec.containers.iter().enumerate().map(at("containers"));
    containers.chain(sidecars.map(at("initContainers"))).collect()
}

/// The number of a container's port of this name, whatever its protocol.
pub(crate) fn port_number(container: &api::Container, name: &str) -> Option<i32> {
    let mut ports = container.ports.iter().flatten();
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}
