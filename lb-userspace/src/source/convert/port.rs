//! `spec.ports` of a Service: a port that cannot be served is dropped alone.
//!
//! kube-proxy tells ports by name and protocol, whatever the name looks like, and never asks for
//! the target port: its endpoints carry their own numbers.

use crate::model::{ServicePort, TargetPort};
use crate::source::convert::field;
use crate::source::report::{AS_WRITTEN, Report, quoted};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// All ports that can be served. Name and protocol are unique together, and so are protocol and
/// number. A node port may be odd for the Service's type; it counts nevertheless.
pub(super) fn ports(
    list: &[api::ServicePort],
    odd_node_ports: bool,
    report: &mut Report,
) -> Vec<ServicePort> {
    let mut ports = Vec::<ServicePort>::new();
    for (index, written) in list.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let Some(port) = one(written, &path, report) else { continue };
        note_name(&port, list.len(), &path, report);
        if odd_node_ports && port.node_port.is_some() {
            let message = format!("needs the type NodePort or LoadBalancer: {AS_WRITTEN}");
            report.add(format!("{path}.nodePort"), message);
        }
        if takes_a_number(&port, &ports, &path, report) {
            continue;
        }
        // As with kube-proxy the later one counts.
        if let Some(at) = ports.iter().position(|other| same_name(other, &port)) {
            let earlier = ports.remove(at);
            let message = format!("takes the place of an earlier port, {}", what(&earlier));
            report.refuse(&format!("{path}.name"), what(&earlier), message);
        }
        ports.push(port);
    }
    ports
}

fn one(port: &api::ServicePort, path: &str, report: &mut Report) -> Option<ServicePort> {
    if !field::has_identity(path, report) {
        return None;
    }
    let name = port.name.clone().unwrap_or_default();
    let protocol = field::protocol(port.protocol.as_deref(), &format!("{path}.protocol"), report);
    let number = field::port(port.port, &format!("{path}.port"), report)?;
    Some(ServicePort {
        name: printable(name, path, report)?,
        protocol: protocol?,
        port: number,
        target_port: target_port(port, number, path, report),
        node_port: field::optional_port(port.node_port, &format!("{path}.nodePort"), report),
    })
}

/// A name goes to terminals as it is.
fn printable(name: String, path: &str, report: &mut Report) -> Option<String> {
    if !name.chars().any(char::is_control) {
        return Some(name);
    }
    let message = format!("{} has control characters; this port is ignored", quoted(&name));
    report.refuse(&format!("{path}.name"), quoted(&name), message);
    None
}

/// What the API has against a name.
fn note_name(port: &ServicePort, count: usize, path: &str, report: &mut Report) {
    let name = port.name.as_str();
    let message = if name.is_empty() && count > 1 {
        format!("is needed where there are several ports: {AS_WRITTEN}")
    } else if name.is_empty() || field::is_label(name) {
        return;
    } else {
        format!("{} is not a DNS label: {AS_WRITTEN}", quoted(name))
    };
    report.add(format!("{path}.name"), message);
}

/// Absent, or 0: the Service's own port. What can be neither number nor name is kept as text.
fn target_port(port: &api::ServicePort, own: u16, path: &str, report: &mut Report) -> TargetPort {
    const CONSEQUENCE: &str = "an API server would refuse it; no Pod is found by it";
    let path = format!("{path}.targetPort");
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(own),
        Some(IntOrString::Int(number)) => {
            let target = u16::try_from(*number).ok().map(TargetPort::Number);
            target.unwrap_or_else(|| {
                report.add(path, format!("{number} is not a port: {CONSEQUENCE}"));
                TargetPort::Name(number.to_string())
            })
        }
        Some(IntOrString::String(name)) => {
            if !is_port_name(name) {
                let name = quoted(name);
                let message =
                    format!("{name} is not a port name (a number has no quotes): {CONSEQUENCE}");
                report.add(path, message);
            }
            TargetPort::Name(name.escape_debug().to_string())
        }
    }
}

/// RFC 6335 §5.1: a label of at most 15 characters, one of them a letter.
fn is_port_name(name: &str) -> bool {
    let letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    letter && name.len() <= 15 && field::is_label(name) && !name.contains("--")
}

fn same_name(one: &ServicePort, other: &ServicePort) -> bool {
    (&one.name, one.protocol) == (&other.name, other.protocol)
}

/// Whether an earlier port of another name has the number already.
fn takes_a_number(
    port: &ServicePort,
    earlier: &[ServicePort],
    path: &str,
    report: &mut Report,
) -> bool {
    let same = |other: &&ServicePort| {
        (other.protocol, other.port) == (port.protocol, port.port) && !same_name(other, port)
    };
    if earlier.iter().find(same).is_none() {
        return false;
    }
    let what = what(port);
    let message = format!("{what} is an earlier port; this one is ignored");
    report.refuse(&format!("{path}.port"), what, message);
    true
}

fn what(port: &ServicePort) -> String {
    format!("{}/{}", port.port, port.protocol.name())
}
