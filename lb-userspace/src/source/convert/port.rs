//! `spec.ports` of a Service: a port that cannot be served is dropped alone.

use crate::model::{ServicePort, TargetPort};
use crate::source::convert::field;
use crate::source::report::{Report, quoted};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// All ports that can be served. Names are unique, and so are protocol and number together.
pub(super) fn ports(list: &[api::ServicePort], report: &mut Report) -> Vec<ServicePort> {
    let mut ports = Vec::new();
    for (index, port) in list.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        let named = list.len() == 1 || port.name.as_ref().is_some_and(|name| !name.is_empty());
        if !named {
            report.add(
                format!("{path}.name"),
                "is needed where there are several ports; this one is ignored",
            );
            continue;
        }
        let converted = one(port, &path, report).filter(|port| is_new(port, &ports, &path, report));
        ports.extend(converted);
    }
    ports
}

fn one(port: &api::ServicePort, path: &str, report: &mut Report) -> Option<ServicePort> {
    let name = name(port.name.as_deref(), path, report);
    let protocol = field::protocol(port.protocol.as_deref(), &format!("{path}.protocol"), report);
    let number = field::port(port.port, &format!("{path}.port"), report);
    let target = target_port(port, path, report);
    Some(ServicePort {
        name: name?,
        protocol: protocol?,
        port: number?,
        target_port: target?,
        node_port: field::optional_port(port.node_port, &format!("{path}.nodePort"), report),
    })
}

fn name(name: Option<&str>, path: &str, report: &mut Report) -> Option<String> {
    let name = name.unwrap_or_default();
    let valid = Some(name).filter(|name| name.is_empty() || field::is_label(name));
    let message = || format!("{} is not a DNS label; this port is ignored", quoted(name));
    report.need(valid, &format!("{path}.name"), message).map(str::to_owned)
}

/// Absent, or 0: the Service's own port.
fn target_port(port: &api::ServicePort, path: &str, report: &mut Report) -> Option<TargetPort> {
    let path = format!("{path}.targetPort");
    match &port.target_port {
        None | Some(IntOrString::Int(0)) => u16::try_from(port.port).ok().map(TargetPort::Number),
        Some(IntOrString::Int(number)) => {
            field::port(*number, &path, report).map(TargetPort::Number)
        }
        Some(IntOrString::String(name)) => port_name(name, &path, report).map(TargetPort::Name),
    }
}

fn port_name(name: &str, path: &str, report: &mut Report) -> Option<String> {
    let valid = Some(name).filter(|name| is_port_name(name));
    let hint = "is not a port name (a number has no quotes); this port is ignored";
    report.need(valid, path, || format!("{} {hint}", quoted(name))).map(str::to_owned)
}

/// RFC 6335 §5.1: a label of at most 15 characters, one of them a letter.
fn is_port_name(name: &str) -> bool {
    let letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    letter && name.len() <= 15 && field::is_label(name) && !name.contains("--")
}

fn is_new(port: &ServicePort, earlier: &[ServicePort], path: &str, report: &mut Report) -> bool {
    let same = |other: &ServicePort| (other.protocol, other.port) == (port.protocol, port.port);
    if earlier.iter().any(|other| other.name == port.name) {
        let message =
            format!("{} is an earlier port's name; this port is ignored", quoted(&port.name));
        report.add(format!("{path}.name"), message);
        return false;
    }
    if earlier.iter().any(same) {
        let (number, protocol) = (port.port, port.protocol.name());
        let message = format!("{number}/{protocol} is an earlier port; this one is ignored");
        report.add(format!("{path}.port"), message);
        return false;
    }
    true
}
