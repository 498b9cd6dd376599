//! A Service on its way through the controllers: the model value, still without what they give, and
//! what was asked of them.

use crate::model::Service;
use crate::source::controllers::family::{Family, Policy};
use crate::source::convert;
use crate::source::report::{Report, quoted};
use k8s_openapi::api::core::v1 as api;

/// A Service that is not finished.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) service: Service,
    /// `spec.ipFamilies` at first, what the Service really has after `cluster_ip`.
    pub(super) families: Vec<Family>,
    /// `spec.ipFamilyPolicy`.
    pub(super) policy: Option<Policy>,
    /// `spec.allocateLoadBalancerNodePorts`.
    pub(super) wants_node_ports: bool,
    pub(super) report: Report,
    /// Name, protocol and number of the ports as written: those that cannot be served are not in
    /// `service`.
    written_ports: Vec<(String, String, i32)>,
}

impl Draft {
    /// What `object` asks for; only the report if it is no Service of ours.
    pub(super) fn new(object: &api::Service, mut report: Report) -> Result<Self, Report> {
        let Some(service) = convert::service(object, &mut report) else {
            return Err(report);
        };
        let spec = object.spec.as_ref();
        let families = spec.and_then(|spec| spec.ip_families.as_deref()).unwrap_or_default();
        let policy = spec.and_then(|spec| spec.ip_family_policy.as_deref());
        Ok(Self {
            service,
            families: read_families(families, &mut report),
            policy: policy.and_then(|text| read_policy(text, &mut report)),
            wants_node_ports: spec
                .and_then(|spec| spec.allocate_load_balancer_node_ports)
                .unwrap_or(true),
            report,
            written_ports: spec
                .and_then(|spec| spec.ports.as_deref())
                .unwrap_or_default()
                .iter()
                .map(written)
                .collect(),
        })
    }

    /// Where port `index` of `service` is written.
    pub(super) fn port_path(&self, index: usize) -> String {
        let port = self.service.ports.get(index);
        let written = port.and_then(|port| {
            let own = (port.name.clone(), port.protocol.name().to_owned(), i32::from(port.port));
            // Of two that are the same the later one is in `service`.
            self.written_ports.iter().rposition(|written| *written == own)
        });
        format!("spec.ports[{}]", written.unwrap_or(index))
    }
}

fn written(port: &api::ServicePort) -> (String, String, i32) {
    let protocol = port.protocol.as_deref().filter(|text| !text.is_empty()).unwrap_or("TCP");
    (port.name.clone().unwrap_or_default(), protocol.to_owned(), port.port)
}

fn read_families(list: &[String], report: &mut Report) -> Vec<Family> {
    let mut families = Vec::new();
    for (index, text) in list.iter().enumerate() {
        match Family::parse(text) {
            Some(family) if families.contains(&family) => {
                report.add(format!("spec.ipFamilies[{index}]"), format!("{family} is there twice"));
            }
            Some(family) => families.push(family),
            None => {
                let message = format!("{} is not IPv4 or IPv6 and is ignored", quoted(text));
                report.add(format!("spec.ipFamilies[{index}]"), message);
            }
        }
    }
    families
}

fn read_policy(text: &str, report: &mut Report) -> Option<Policy> {
    let policy = Policy::parse(text);
    if policy.is_none() {
        let text = quoted(text);
        let message = format!(
            "{text} is not SingleStack, PreferDualStack or RequireDualStack and is ignored"
        );
        report.add("spec.ipFamilyPolicy", message);
    }
    policy
}
