//! `lbctl describe`: all about one thing, in the words of `kubectl describe`.

use super::output::{self, Console, Format};
use super::place::Place;
use super::resource::endpoints::{EndpointView, endpoints};
use super::resource::services::{PortView, ServiceView, services};
use super::select::{Name, Selector};
use super::source::{Counters, Source};
use super::words::{EndpointState, NONE, joined, policy_name, type_name};
use crate::model::{ObjectName, Problem};
use crate::reconcile::Tables;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::fmt::Write as _;

const EXAMPLES: &str = "\
Examples:
  lbctl describe service default/kubia
  lbctl describe svc kubia -n default
  lbctl describe svc default/kubia -o json";

/// Tell all about one thing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    resource: Resource,
}

#[derive(Debug, Subcommand)]
enum Resource {
    /// A Service: addresses, ports, endpoints, policies, traffic, problems
    #[command(visible_aliases = ["svc", "services"], after_help = EXAMPLES)]
    Service(ServiceOptions),
}

#[derive(Debug, Args)]
struct ServiceOptions {
    /// NAME or NAMESPACE/NAME; a NAME that several namespaces have tells about each
    name: Name,
    /// Of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Form of the output; json and yaml hold {"items": [...]}
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// A Service with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Description {
    /// As `get services` has it.
    #[serde(flatten)]
    service: ServiceView,
    /// As `get endpoints` has them.
    endpoints: Vec<EndpointView>,
    /// What cannot be done as it wants.
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Items<'a> {
    items: &'a [Description],
}

/// Describes what `options` name.
pub(super) fn run(options: &Options, place: &Place, console: &mut Console<'_>) -> Result<()> {
    let Resource::Service(options) = &options.resource;
    let source = Source::open(place)?;
    let problems = source.status()?.map(|status| status.problems).unwrap_or_default();
    let selector = Selector::new(Some(&options.name), options.namespace.as_deref());
    let found = describe(&source.tables, &source.counters()?, &problems, &selector);
    if found.is_empty() {
        bail!("services {:?} not found", options.name.name);
    }
    let text = if options.output.is_table() {
        found.iter().map(text).collect::<Vec<_>>().join("\n\n")
    } else {
        output::document(&Items { items: &found }, options.output)?
    };
    Ok(write!(console.out, "{text}")?)
}

/// The Services that `selector` means.
pub(super) fn describe(
    tables: &Tables,
    counters: &Counters,
    problems: &[Problem],
    selector: &Selector,
) -> Vec<Description> {
    let all = endpoints(tables, counters);
    let selected =
        services(tables, counters).into_iter().filter(|service| selector.takes(&service.object()));
    let with_all = |service: ServiceView| {
        let object = service.object();
        let own = |endpoint: &&EndpointView| endpoint.service.object() == object;
        Description {
            endpoints: all.iter().filter(own).cloned().collect(),
            problems: problems
                .iter()
                .filter(|problem| is_about(&problem.subject, &object))
                .cloned()
                .collect(),
            service,
        }
    };
    selected.map(with_all).collect()
}

/// Whether a problem's subject names the object: as a word, not as a part of one.
pub(super) fn is_about(subject: &str, object: &ObjectName) -> bool {
    let name = object.to_string();
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '/' | '_');
    subject.split(|c| !is_part(c)).any(|word| word == name)
}

/// In the words of `kubectl describe service`.
pub(super) fn text(description: &Description) -> String {
    let service = &description.service;
    let mut lines = Lines::default();
    lines.add("Name", &service.name);
    lines.add("Namespace", &service.namespace);
    lines.add("Type", type_name(service.kind));
    lines.add("IP Families", joined(&service.ip_families));
    lines.add("IPs", joined(&service.cluster_ips));
    if !service.external_ips.is_empty() {
        lines.add("External IPs", joined(&service.external_ips));
    }
    if !service.load_balancer_ips.is_empty() {
        lines.add("LoadBalancer Ingress", joined(&service.load_balancer_ips));
    }
    for port in &service.ports {
        lines.add_port(port, &description.endpoints);
    }
    lines.add("Session Affinity", service.affinity());
    lines.add("External Traffic Policy", policy_name(service.external_policy));
    lines.add("Internal Traffic Policy", policy_name(service.internal_policy));
    let traffic = &service.traffic;
    let counted = format!(
        "{} packets, {} bytes, {} connections",
        traffic.packets, traffic.bytes, traffic.connections
    );
    lines.add("Traffic", counted);
    lines.add_events(&description.problems);
    lines.text
}

/// Labels and values in two columns.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn add(&mut self, label: &str, value: impl AsRef<str>) {
        // The width of kubectl's first column.
        let _ = writeln!(self.text, "{:<26}{}", format!("{label}:"), value.as_ref());
    }

    fn add_port(&mut self, port: &PortView, endpoints: &[EndpointView]) {
        let name = if port.name.is_empty() { "<unset>" } else { &port.name };
        self.add("Port", format!("{name}  {}/{}", port.port, port.protocol));
        self.add("TargetPort", format!("{}/{}", port.target_port, port.protocol));
        if let Some(node_port) = port.node_port {
            self.add("NodePort", format!("{name}  {node_port}/{}", port.protocol));
        }
        let own = |endpoint: &&EndpointView| {
            let service = &endpoint.service;
            (&service.port_name, service.port, &endpoint.protocol)
                == (&port.name, port.port, &port.protocol)
        };
        self.add("Endpoints", joined(endpoints.iter().filter(own).map(with_state)));
    }

    fn add_events(&mut self, problems: &[Problem]) {
        if problems.is_empty() {
            return self.add("Events", NONE);
        }
        self.text += "Events:\n";
        for Problem { field, message, .. } in problems {
            let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
            let _ = writeln!(self.text, "  Warning  {field}{message}");
        }
    }
}

/// An endpoint, and its state unless it is ready.
fn with_state(endpoint: &EndpointView) -> String {
    let EndpointView { address, state, .. } = endpoint;
    if *state == EndpointState::Ready {
        address.to_string()
    } else {
        format!("{address} ({})", state.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_about_the_object_that_its_subject_names() {
        let kubia = ObjectName::new("default", "kubia");
        assert!(is_about("Service default/kubia", &kubia));
        assert!(is_about("web.yaml, document 2: Service default/kubia", &kubia));
        assert!(!is_about("Service default/kubia-2", &kubia));
        assert!(!is_about("Service other/default/kubia", &kubia));
    }
}
