//! What a kubelet tells containers of Services: environment variables. Pure.
//!
//! The names and their order are those of the kubelet's package `envvars` (Kubernetes 1.36), which
//! Services count those of its `getServiceEnvVarMap`. A container keeps what it was started with;
//! a Service that comes later is found by DNS only.

use crate::model::{ObjectName, Service, ServicePort};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Its Services are told in every namespace, if they have one of the names in [`MASTERS`].
const MASTERS_NAMESPACE: &str = "default";
/// Services that lead to the API server.
const MASTERS: [&str; 1] = ["kubernetes"];

/// A variable, in the form that a container's `env` has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Variable {
    /// Its name; no `=` is in it.
    pub name: String,
    /// Its value: an address, a number, a protocol or a URL, so nothing that needs quotes.
    pub value: String,
}

/// The variables of one Service; none without a `ClusterIP` (headless, `ExternalName`).
pub fn of_service(service: &Service) -> Vec<Variable> {
    let Some(host) = service.cluster_ips.first().copied() else { return Vec::new() };
    let prefix = mangled(&service.name.name);
    let Some(first) = service.ports.first() else { return Vec::new() };
    let mut variables = vec![
        variable(format!("{prefix}_SERVICE_HOST"), host),
        variable(format!("{prefix}_SERVICE_PORT"), first.port),
    ];
    let named = service.ports.iter().filter(|port| !port.name.is_empty());
    variables.extend(
        named.map(|port| {
            variable(format!("{prefix}_SERVICE_PORT_{}", mangled(&port.name)), port.port)
        }),
    );
    variables.push(variable(format!("{prefix}_PORT"), url(host, first)));
    variables.extend(service.ports.iter().flat_map(|port| links(&prefix, host, port)));
    variables
}

/// What a container of `namespace` gets: the variables of its Services and of the API server's,
/// Services in the order of their names.
///
/// Two Services can want the same variable (`a`'s port and `a-service`'s link); the later name has
/// it. The kubelet leaves that to chance.
pub fn of_namespace<'a>(
    namespace: &str,
    services: impl IntoIterator<Item = &'a Service>,
) -> Vec<Variable> {
    let mut told = BTreeMap::<&str, &Service>::new();
    for service in services {
        let ObjectName { namespace: own, name } = &service.name;
        let has_address = !service.cluster_ips.is_empty();
        if own == namespace && has_address {
            told.insert(name, service);
        } else if is_master(&service.name) && has_address {
            // One of the namespace itself goes before it.
            told.entry(name).or_insert(service);
        }
    }
    once_each(told.into_values().flat_map(of_service))
}

fn is_master(name: &ObjectName) -> bool {
    name.namespace == MASTERS_NAMESPACE && MASTERS.contains(&name.name.as_str())
}

fn once_each(variables: impl Iterator<Item = Variable>) -> Vec<Variable> {
    let mut places = BTreeMap::new();
    let mut once = Vec::<Variable>::new();
    for variable in variables {
        let place = *places.entry(variable.name.clone()).or_insert(once.len());
        match once.get_mut(place) {
            Some(earlier) => *earlier = variable,
            None => once.push(variable),
        }
    }
    once
}

/// The variables that Docker's `--link` would have made of a port.
fn links(prefix: &str, host: IpAddr, port: &ServicePort) -> [Variable; 4] {
    let own = format!("{prefix}_PORT_{}_{}", port.port, port.protocol.name());
    [
        variable(own.clone(), url(host, port)),
        variable(format!("{own}_PROTO"), scheme(port)),
        variable(format!("{own}_PORT"), port.port),
        variable(format!("{own}_ADDR"), host),
    ]
}

/// `tcp://10.96.0.10:80`; an IPv6 address is in brackets.
fn url(host: IpAddr, port: &ServicePort) -> String {
    format!("{}://{}", scheme(port), SocketAddr::new(host, port.port))
}

fn scheme(port: &ServicePort) -> String {
    port.protocol.name().to_ascii_lowercase()
}

/// A name as part of a variable's name: a dot or a digit at the start stays, as with the kubelet.
fn mangled(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn variable(name: String, value: impl ToString) -> Variable {
    Variable { name, value: value.to_string() }
}

#[cfg(test)]
mod tests;
