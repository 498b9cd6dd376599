//! Ingresses: read and checked, and no more. Nothing here sends HTTP anywhere; a mistake is told
//! all the same, because whoever keeps an application in the folder wants to know of it.

use crate::model::{ObjectName, Problem, Service};
use crate::source::controllers::Found;
use crate::source::convert::field;
use crate::source::report::{Report, quoted};
use k8s_openapi::api::networking::v1 as api;
use std::collections::BTreeMap;

/// What `pathType` may be; an old version could leave it out, and is given it before they come here.
const PATH_TYPES: [&str; 3] = ["Exact", "Prefix", "ImplementationSpecific"];

type Services = BTreeMap<ObjectName, Service>;

/// What is wrong with them.
pub(super) fn check(
    objects: &BTreeMap<ObjectName, Found<api::Ingress>>,
    services: &Services,
    problems: &mut Vec<Problem>,
) {
    for (name, found) in objects {
        let mut report = found.report();
        if let Some(spec) = &found.object.spec {
            check_spec(spec, &name.namespace, services, &mut report);
        }
        problems.extend(report.into_problems());
    }
}

fn check_spec(spec: &api::IngressSpec, namespace: &str, services: &Services, report: &mut Report) {
    let backend = |backend: &api::IngressBackend, path: &str, report: &mut Report| {
        check_backend(backend, path, (namespace, services), report);
    };
    if let Some(default) = &spec.default_backend {
        backend(default, "spec.defaultBackend", report);
    }
    for (index, rule) in spec.rules.iter().flatten().enumerate() {
        let path = format!("spec.rules[{index}]");
        check_host(rule.host.as_deref(), &path, report);
        let paths = rule.http.iter().flat_map(|http| &http.paths).enumerate();
        for (index, one) in paths {
            let path = format!("{path}.http.paths[{index}]");
            check_path(one, &path, report);
            backend(&one.backend, &format!("{path}.backend"), report);
        }
    }
}

fn check_host(host: Option<&str>, path: &str, report: &mut Report) {
    let host = host.unwrap_or_default();
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = field::is_subdomain(name) && field::parse_address(name).is_none();
    if !host.is_empty() && !is_name {
        report.add(format!("{path}.host"), format!("{} is not a DNS name", quoted(host)));
    }
}

fn check_path(one: &api::HTTPIngressPath, path: &str, report: &mut Report) {
    let written = one.path.as_deref().unwrap_or_default();
    if !written.is_empty() && !written.starts_with('/') {
        let message = format!("{} does not begin with a slash", quoted(written));
        report.add(format!("{path}.path"), message);
    }
    let kind = one.path_type.as_str();
    if !PATH_TYPES.contains(&kind) {
        let what = if kind.is_empty() { "is missing".to_owned() } else { quoted(kind) };
        let message = format!("{what}, expected {}", PATH_TYPES.join(", "));
        report.add(format!("{path}.pathType"), message);
    }
}

fn check_backend(
    backend: &api::IngressBackend,
    path: &str,
    (namespace, services): (&str, &Services),
    report: &mut Report,
) {
    let Some(named) = backend.service.as_ref().filter(|named| !named.name.is_empty()) else {
        if backend.resource.is_none() {
            report.add(path, "names no Service");
        }
        return;
    };
    let name = ObjectName::new(namespace, named.name.as_str());
    let Some(service) = services.get(&name) else {
        let name = quoted(&named.name);
        report.add(path, format!("there is no Service {name} in this namespace"));
        return;
    };
    let port = named.port.as_ref();
    match port.filter(|port| port.number.is_some() || port.name.is_some()) {
        None => report.add(path, format!("names no port of Service {name}")),
        Some(port) if has_port(service, port) => {}
        Some(_) => report.add(path, format!("Service {name} has no such port")),
    }
}

fn has_port(service: &Service, wanted: &api::ServiceBackendPort) -> bool {
    service.ports.iter().any(|port| match (wanted.number, wanted.name.as_deref()) {
        (Some(number), _) => i32::from(port.port) == number,
        (None, name) => name == Some(port.name.as_str()) && !port.name.is_empty(),
    })
}
