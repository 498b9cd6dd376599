//! The addresses of a Service: written, external, given by a load balancer, and who may use them.
//!
//! As with kube-proxy, external addresses may be of any kind but the unspecified one, and what a
//! load balancer gave counts whatever the type of the Service says. What an API server would
//! refuse is served with a sentence.

use crate::model::{Obstacle, ServiceType};
use crate::source::convert::field;
use crate::source::report::{AS_WRITTEN, Report, quoted};
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as api;
use std::net::IpAddr;

/// The first `ClusterIP` as written: `clusterIPs` comes before the older `clusterIP`.
pub(super) fn written_cluster_ip(spec: &api::ServiceSpec) -> Option<&str> {
    let first = spec.cluster_ips.iter().flatten().next();
    first.or(spec.cluster_ip.as_ref()).map(String::as_str).filter(|text| !text.is_empty())
}

/// At most one address of each family that the Service has, in the order written.
pub(super) fn cluster_ips(spec: &api::ServiceSpec, report: &mut Report) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (path, address) in written_cluster_ips(spec, report) {
        let message = if addresses.iter().any(|earlier| same_family(earlier, &address)) {
            format!("{address} is a second address of its family and is ignored")
        } else if !is_named(spec, &address) {
            format!(
                "{address} is {}, which ipFamilies does not name; it is ignored",
                word(&address)
            )
        } else {
            addresses.push(address);
            continue;
        };
        report.refuse(&path, address.to_string(), message);
    }
    note_order(spec, &addresses, report);
    addresses
}

/// The addresses that can be read, with their paths.
fn written_cluster_ips(spec: &api::ServiceSpec, report: &mut Report) -> Vec<(String, IpAddr)> {
    let list = spec.cluster_ips.as_deref().unwrap_or_default();
    let single = spec.cluster_ip.as_deref().filter(|single| !single.is_empty());
    let Some(first) = list.first() else {
        const FIELD: &str = "spec.clusterIP";
        let address = single.and_then(|text| field::address(text, FIELD, report));
        return address.map(|address| (FIELD.to_owned(), address)).into_iter().collect();
    };
    if single.is_some_and(|single| single != first) {
        report.add("spec.clusterIP", "differs from clusterIPs[0], which is used instead");
    }
    listed("spec.clusterIPs", list, report, field::address)
}

/// The families in `ipFamilies` that can be read.
fn families(spec: &api::ServiceSpec) -> impl Iterator<Item = &str> {
    let list = spec.ip_families.iter().flatten().map(String::as_str);
    list.filter(|family| ["IPv4", "IPv6"].contains(family))
}

/// Whether the Service has the family of `address`. Without a list it has that of any address.
fn is_named(spec: &api::ServiceSpec, address: &IpAddr) -> bool {
    families(spec).next().is_none() || families(spec).any(|family| family == word(address))
}

/// The API wants the address of a family at the family's place; we look at the address itself.
fn note_order(spec: &api::ServiceSpec, addresses: &[IpAddr], report: &mut Report) {
    let turned = |(family, address): (&str, &IpAddr)| family != word(address);
    if addresses.len() > 1 && families(spec).zip(addresses).any(turned) {
        let message = "are not in the order of ipFamilies: each counts for its own family";
        report.add("spec.clusterIPs", message);
    }
}

fn same_family(one: &IpAddr, other: &IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

fn word(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// `spec.externalIPs`, each once.
pub(super) fn external_ips(spec: &api::ServiceSpec, report: &mut Report) -> Vec<IpAddr> {
    let list = spec.external_ips.as_deref().unwrap_or_default();
    let mut unique = Vec::new();
    for (path, address) in listed("spec.externalIPs", list, report, field::address) {
        if let Some(what) = field::special(address) {
            report.add(path, format!("{address} is {what}: {AS_WRITTEN}"));
        }
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

/// Addresses of `status` that packets are aimed at, but those that `sources` keeps closed.
pub(super) fn load_balancer_ips(
    object: &api::Service,
    kind: ServiceType,
    sources: &Sources,
    report: &mut Report,
) -> Vec<IpAddr> {
    let status = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let list = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    let mut addresses = Vec::new();
    for (index, ingress) in list.iter().enumerate() {
        let path = format!("status.loadBalancer.ingress[{index}]");
        let Some(address) = load_balancer_ip(ingress, &path, report) else { continue };
        if sources.is_closed(&address) {
            let family = word(&address);
            let message = format!(
                "{address} is not served: no {family} range of loadBalancerSourceRanges can be read"
            );
            report.refuse(&path, address.to_string(), message);
            continue;
        }
        if kind != ServiceType::LoadBalancer {
            report.add(path, format!("needs the type LoadBalancer: {AS_WRITTEN}"));
        }
        addresses.push(address);
    }
    addresses
}

fn load_balancer_ip(
    ingress: &api::LoadBalancerIngress,
    path: &str,
    report: &mut Report,
) -> Option<IpAddr> {
    let Some(text) = ingress.ip.as_deref().filter(|text| !text.is_empty()) else {
        let host = ingress.hostname.as_deref().unwrap_or_default();
        report.leave_out(path, host, Obstacle::HostNameOnly);
        return None;
    };
    let mode_path = format!("{path}.ipMode");
    let unreadable = report.lost(&mode_path).map(|_| "");
    match unreadable.or(ingress.ip_mode.as_deref()).unwrap_or("VIP") {
        "VIP" => field::address(text, &format!("{path}.ip"), report),
        "Proxy" => {
            report.leave_out(path, text, Obstacle::ProxyMode);
            None
        }
        other => {
            let message =
                format!("{} is not VIP or Proxy; the address is not served", quoted(other));
            report.refuse(&mode_path, text, message);
            None
        }
    }
}

/// `loadBalancerSourceRanges`.
pub(super) struct Sources {
    /// Those that can be read.
    pub(super) ranges: Vec<IpNet>,
    /// Others were written. No range of a family means everybody, so the load balancer's
    /// addresses of such a family must not be served at all.
    unreadable: bool,
}

impl Sources {
    pub(super) fn of(spec: &api::ServiceSpec, report: &mut Report) -> Self {
        const FIELD: &str = "spec.loadBalancerSourceRanges";
        let list = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
        let ranges: Vec<IpNet> = listed(FIELD, list, report, field::network)
            .into_iter()
            .map(|(_, range)| range)
            .collect();
        let unreadable = ranges.len() < list.len() || report.lost(FIELD).is_some();
        Self { ranges, unreadable }
    }

    fn is_closed(&self, address: &IpAddr) -> bool {
        let own = |range: &IpNet| same_family(&range.addr(), address);
        self.unreadable && !self.ranges.iter().any(own)
    }
}
