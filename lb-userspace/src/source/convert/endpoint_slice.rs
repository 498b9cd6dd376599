//! A discovery.k8s.io/v1 `EndpointSlice` to the model (docs/services.md).
//!
//! An endpoint or port that cannot be used is dropped alone.

use crate::model::{Endpoint, EndpointPort, EndpointSlice, Trigger};
use crate::source::convert::field;
use crate::source::report::{Report, quoted};
use jiff::Timestamp;
use k8s_openapi::api::discovery::v1 as api;
use std::net::IpAddr;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The slice that `object` describes; `None` if it has no name, no Service, no addresses that
/// packets can be sent to (`addressType: FQDN`). One of another proxy is kept: its endpoints have
/// names, and `compile` leaves them alone.
pub fn endpoint_slice(object: &api::EndpointSlice, report: &mut Report) -> Option<EndpointSlice> {
    let name = field::object_name(&object.metadata, report)?;
    if object.address_type == "FQDN" {
        tracing::debug!(slice = %name, "has no addresses");
        return None;
    }
    let service = service_name(object, report)?;
    let ipv4 = is_ipv4(object, report)?;
    let endpoints = object.endpoints.iter().flatten().enumerate();
    Some(EndpointSlice {
        name,
        service,
        ports: ports(object, report),
        endpoints: endpoints
            .filter_map(|(index, one)| endpoint(one, index, ipv4, report))
            .collect(),
        unusable: report.take_unusable(),
        trigger: trigger(object, ipv4),
    })
}

/// A time that cannot be read is no time, as with kube-proxy: it is measured with, nothing more.
fn trigger(object: &api::EndpointSlice, ipv4: bool) -> Option<Trigger> {
    let text = field::annotation(&object.metadata, TRIGGER_TIME)?;
    let time: Timestamp = text.parse().ok()?;
    Some(Trigger { at_ms: time.as_millisecond(), ipv6: !ipv4 })
}

fn service_name(object: &api::EndpointSlice, report: &mut Report) -> Option<String> {
    let service = field::label(&object.metadata, SERVICE_NAME).filter(|name| !name.is_empty());
    if service.is_none() {
        report.add(
            "metadata.labels",
            format!("{SERVICE_NAME} is missing, so the slice belongs to no Service"),
        );
    }
    service.map(str::to_owned)
}

fn is_ipv4(object: &api::EndpointSlice, report: &mut Report) -> Option<bool> {
    match object.address_type.as_str() {
        "IPv4" => Some(true),
        "IPv6" => Some(false),
        other => {
            let message =
                format!("{} is not IPv4, IPv6 or FQDN; the slice is ignored", quoted(other));
            report.add("addressType", message);
            None
        }
    }
}

fn ports(object: &api::EndpointSlice, report: &mut Report) -> Vec<EndpointPort> {
    let list = object.ports.iter().flatten().enumerate();
    list.filter_map(|(index, one)| port(one, &format!("ports[{index}]"), report)).collect()
}

/// The API lets a port without a number mean "all"; no Service port can be joined to it.
fn port(port: &api::EndpointPort, path: &str, report: &mut Report) -> Option<EndpointPort> {
    let number = port.port.unwrap_or_default();
    field::endpoint_port(port.name.as_deref(), port.protocol.as_deref(), number, path, report)
}

fn endpoint(
    object: &api::Endpoint,
    index: usize,
    ipv4: bool,
    report: &mut Report,
) -> Option<Endpoint> {
    let address = address(object, &format!("endpoints[{index}].addresses"), ipv4, report)?;
    let conditions = object.conditions.clone().unwrap_or_default();
    let hints = object.hints.clone().unwrap_or_default();
    Some(Endpoint {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        node: object.node_name.clone(),
        zone: object.zone.clone(),
        hint_zones: hints.for_zones.into_iter().flatten().map(|zone| zone.name).collect(),
        hint_nodes: hints.for_nodes.into_iter().flatten().map(|node| node.name).collect(),
        hostname: object.hostname.clone(),
        pod: field::pod_name(object.target_ref.as_ref()),
        unready: None,
    })
}

/// Only the first address counts.
fn address(object: &api::Endpoint, path: &str, ipv4: bool, report: &mut Report) -> Option<IpAddr> {
    let Some(text) = object.addresses.first() else {
        report.refuse(path, "", "is empty, so the endpoint is ignored");
        return None;
    };
    let path = format!("{path}[0]");
    let address = field::host_address(text, &path, report)?;
    if address.is_ipv4() == ipv4 {
        return Some(address);
    }
    let message = format!("{address} is not of the slice's addressType and is ignored");
    report.refuse(&path, text, message);
    None
}
