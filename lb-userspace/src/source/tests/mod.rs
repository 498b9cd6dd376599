//! What the source promises, sentence by sentence. `derived` is the whole way of a text without
//! the folder: YAML in, snapshot and problems out.

mod cluster_ip;
mod convert;
mod document;
mod endpoints;
mod follow;
mod fuzz;
mod golden;
mod ingress;
mod lenient;
mod library;
mod memory;
mod mirror;
mod node_port;
mod readiness;

use crate::model::{EndpointSlice, ObjectName, Problem, Service, Snapshot};
use crate::source::controllers::{self, Memory};
use crate::source::manifests;
use crate::source::readiness::Readiness;
use crate::source::settings::Settings;
use std::path::Path;

fn settings(cidrs: &[&str]) -> Settings {
    Settings {
        dir: "/nonexistent".into(),
        node: "node-a".to_owned(),
        service_cidrs: cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect(),
        node_port_range: Settings::NODE_PORTS,
        state_dir: "/nonexistent".into(),
        exec_probes: false,
    }
}

/// What became of some objects.
struct Derived {
    snapshot: Snapshot,
    problems: Vec<Problem>,
}

impl Derived {
    fn service(&self, name: &str) -> &Service {
        &self.snapshot.services[&ObjectName::new("default", name)]
    }

    fn ips(&self, name: &str) -> Vec<String> {
        self.service(name).cluster_ips.iter().map(ToString::to_string).collect()
    }

    fn node_ports(&self, name: &str) -> Vec<Option<u16>> {
        self.service(name).ports.iter().map(|port| port.node_port).collect()
    }

    fn slices(&self, service: &str) -> Vec<&EndpointSlice> {
        let slices = self.snapshot.slices.get(&ObjectName::new("default", service));
        slices.into_iter().flat_map(|slices| slices.values()).collect()
    }

    /// `address:port` of each endpoint and port, with what is special about it.
    fn endpoints(&self, service: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for slice in self.slices(service) {
            let ports: Vec<_> =
                slice.ports.iter().map(|port| format!("{}={}", port.name, port.port)).collect();
            for endpoint in &slice.endpoints {
                let state = match (endpoint.ready, endpoint.serving, endpoint.terminating) {
                    (true, true, false) => "ready",
                    (false, false, false) => "unready",
                    (false, true, true) => "terminating, serving",
                    (false, false, true) => "terminating",
                    (true, false, false) => "published, unready",
                    _ => "published, terminating",
                };
                lines.push(format!("{} {} {state}", endpoint.address, ports.join(",")));
            }
        }
        lines.sort();
        lines
    }

    fn said(&self) -> Vec<String> {
        self.problems.iter().map(ToString::to_string).collect()
    }
}

fn derived(yaml: &str, cidrs: &[&str]) -> Derived {
    derived_with(yaml, cidrs, &mut Memory::default())
}

fn derived_with(yaml: &str, cidrs: &[&str], memory: &mut Memory) -> Derived {
    derived_of(yaml, cidrs, memory, &Readiness::default())
}

fn derived_of(yaml: &str, cidrs: &[&str], memory: &mut Memory, readiness: &Readiness) -> Derived {
    let (objects, mut problems) = manifests::objects(Path::new("f.yaml"), yaml);
    let (snapshot, found) = controllers::derive(&objects, &settings(cidrs), memory, readiness);
    problems.extend(found);
    Derived { snapshot, problems }
}

/// A Service with one port; `spec` is put into its spec, in flow style.
fn service(name: &str, spec: &str) -> String {
    let comma = if spec.is_empty() { "" } else { ", " };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]{comma}{spec}}}\n"
    )
}
