//! The addresses of a Service: written, external, given by a load balancer, and who may use them.

use crate::source::convert::field;
use crate::source::report::{Report, quoted};
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;
use std::net::IpAddr;

/// The first `ClusterIP` as written: `clusterIPs` comes before the older `clusterIP`.
pub(super) fn written_cluster_ip(spec: &api::ServiceSpec) -> Option<&str> {
    let first = spec.cluster_ips.iter().flatten().next();
    first.or(spec.cluster_ip.as_ref()).map(String::as_str).filter(|text| !text.is_empty())
}

/// At most one address of each family, in the order written.
pub(super) fn cluster_ips(spec: &api::ServiceSpec, report: &mut Report) -> Vec<IpAddr> {
    let list = spec.cluster_ips.as_deref().unwrap_or_default();
    let Some(first) = list.first() else {
        let text = written_cluster_ip(spec);
        return text
            .and_then(|text| field::address(text, "spec.clusterIP", report))
            .into_iter()
            .collect();
    };
    if spec.cluster_ip.as_ref().is_some_and(|single| !single.is_empty() && single != first) {
        report.add("spec.clusterIP", "differs from clusterIPs[0], which is used instead");
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (path, address) in listed("spec.clusterIPs", list, report, field::address) {
        if addresses.iter().any(|earlier| earlier.is_ipv4() == address.is_ipv4()) {
            report.add(path, format!("{address} is a second address of its family and is ignored"));
        } else {
            addresses.push(address);
        }
    }
    addresses
}

/// `spec.externalIPs`, each once.
pub(super) fn external_ips(spec: &api::ServiceSpec, report: &mut Report) -> Vec<IpAddr> {
    let list = spec.external_ips.as_deref().unwrap_or_default();
    let addresses = listed("spec.externalIPs", list, report, field::host_address);
    let mut unique = Vec::new();
    for (_, address) in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

/// Each entry that `read` can use, with its path.
fn listed<T>(
    path: &str,
    list: &[String],
    report: &mut Report,
    read: fn(&str, &str, &mut Report) -> Option<T>,
) -> Vec<(String, T)> {
    let paths = (0..).map(|index: usize| format!("{path}[{index}]"));
    let usable = |(text, path): (&String, String)| {
        let value = read(text, &path, report)?;
        Some((path, value))
    };
    list.iter().zip(paths).filter_map(usable).collect()
}

/// Addresses of `status` that packets are aimed at (SEMANTICS 14).
pub(super) fn load_balancer_ips(object: &api::Service, report: &mut Report) -> Vec<IpAddr> {
    let status = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let list = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    let paths = (0..).map(|index: usize| format!("status.loadBalancer.ingress[{index}]"));
    list.iter()
        .zip(paths)
        .filter_map(|(ingress, path)| load_balancer_ip(ingress, &path, report))
        .collect()
}

fn load_balancer_ip(
    ingress: &api::LoadBalancerIngress,
    path: &str,
    report: &mut Report,
) -> Option<IpAddr> {
    let text = ingress.ip.as_deref().filter(|text| !text.is_empty())?;
    match ingress.ip_mode.as_deref().unwrap_or("VIP") {
        "VIP" => field::address(text, &format!("{path}.ip"), report),
        "Proxy" => None,
        other => {
            let message =
                format!("{} is not VIP or Proxy; the address is not served", quoted(other));
            report.add(format!("{path}.ipMode"), message);
            None
        }
    }
}

/// `loadBalancerSourceRanges`.
pub(super) struct Sources {
    /// Those that can be read.
    pub(super) ranges: Vec<IpNet>,
    /// Ranges were written and none can be read. No range means everybody, so the guarded
    /// addresses must not be served at all.
    pub(super) closed: bool,
}

impl Sources {
    pub(super) fn of(spec: &api::ServiceSpec, report: &mut Report) -> Self {
        const FIELD: &str = "spec.loadBalancerSourceRanges";
        let list = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
        let ranges: Vec<IpNet> = listed(FIELD, list, report, field::network)
            .into_iter()
            .map(|(_, range)| range)
            .collect();
        let closed = ranges.is_empty() && !list.is_empty();
        if closed {
            report.add(FIELD, "no entry can be used, so no load-balancer address is served");
        }
        Self { ranges, closed }
    }
}
