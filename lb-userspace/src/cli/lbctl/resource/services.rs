//! `get services`: `SERVICES` has an entry per port and family, kubectl's users think of one.

use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::source::Counters;
use crate::cli::lbctl::words::{
    EndpointState, PortRef, TrafficView, family_name, joined, policy, policy_name, service_type,
    type_name,
};
use crate::model::{ObjectName, ServiceType, TrafficPolicy};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{FrontendKey, FrontendValue};
use lb_common::layout::service::{ServiceValue, text};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A Service as the maps have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ServiceView {
    /// `metadata.namespace`.
    pub(crate) namespace: String,
    /// `metadata.name`.
    pub(crate) name: String,
    /// `spec.type`.
    #[serde(rename = "type")]
    pub(crate) kind: ServiceType,
    /// `spec.ipFamilies`, IPv4 first.
    pub(crate) ip_families: Vec<&'static str>,
    /// `spec.clusterIPs`.
    pub(crate) cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub(crate) external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`.
    pub(crate) load_balancer_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub(crate) ports: Vec<PortView>,
    /// Endpoints that are ready, counted per port and family as `get endpoints` lists them.
    pub(crate) ready: usize,
    /// All endpoints, counted alike.
    pub(crate) total: usize,
    /// Seconds for which a silent client is remembered; null: no session affinity.
    pub(crate) affinity_timeout_s: Option<u32>,
    /// `spec.externalTrafficPolicy`.
    pub(crate) external_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`.
    pub(crate) internal_policy: TrafficPolicy,
    /// What went through all its ports.
    pub(crate) traffic: TrafficView,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PortView {
    /// `name`; may be empty.
    pub(crate) name: String,
    /// `protocol`.
    pub(crate) protocol: String,
    /// `port`.
    pub(crate) port: u16,
    /// `targetPort` as written.
    pub(crate) target_port: String,
    /// `nodePort`.
    pub(crate) node_port: Option<u16>,
}

/// All Services by namespace and name. A Service's ports stand in the order of their ids, which
/// is the order of `spec.ports` unless the Service was changed.
pub(crate) fn services(tables: &Tables, counters: &Counters) -> Vec<ServiceView> {
    let mut views = BTreeMap::<ObjectName, ServiceView>::new();
    for (id, value) in &tables.services {
        let name = PortRef::from(value).object();
        let view = views.entry(name).or_insert_with_key(|name| ServiceView::new(name, value));
        view.add_port(value);
        view.traffic.add(counters.service(*id));
    }
    let name = |service| PortRef::of(tables, service).map(|port| port.object());
    for (key, value) in &tables.frontends {
        if let Some(view) = name(value.service).and_then(|name| views.get_mut(&name)) {
            view.add_frontend(key, value);
        }
    }
    for backend in tables.backends.values() {
        if let Some(view) = name(backend.service).and_then(|name| views.get_mut(&name)) {
            view.add_backend(backend);
        }
    }
    views.into_values().collect()
}

impl ServiceView {
    fn new(name: &ObjectName, value: &ServiceValue) -> Self {
        Self {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            kind: service_type(value),
            ip_families: Vec::new(),
            cluster_ips: Vec::new(),
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            ports: Vec::new(),
            ready: 0,
            total: 0,
            affinity_timeout_s: None,
            external_policy: policy(value, ServiceValue::EXTERNAL_LOCAL),
            internal_policy: policy(value, ServiceValue::INTERNAL_LOCAL),
            traffic: TrafficView::default(),
        }
    }

    fn add_port(&mut self, value: &ServiceValue) {
        add_once(&mut self.ip_families, family_name(value.family));
        self.ip_families.sort_unstable();
        add_once(&mut self.ports, PortView::from(value));
    }

    fn add_frontend(&mut self, key: &FrontendKey, value: &FrontendValue) {
        if value.affinity != 0 {
            self.affinity_timeout_s = Some(value.affinity_timeout_s);
        }
        let addrs = match value.kind {
            FrontendValue::CLUSTER_IP => &mut self.cluster_ips,
            FrontendValue::EXTERNAL_IP => &mut self.external_ips,
            FrontendValue::LOAD_BALANCER => &mut self.load_balancer_ips,
            _ => return,
        };
        add_once(addrs, key.addr.to_ip());
        // IPv4 first, whatever the order of keys.
        addrs.sort_unstable();
    }

    fn add_backend(&mut self, backend: &BackendValue) {
        self.total += 1;
        self.ready += usize::from(EndpointState::of(backend) == EndpointState::Ready);
    }

    /// Its namespace and name.
    pub(crate) fn object(&self) -> ObjectName {
        ObjectName::new(&self.namespace, &self.name)
    }

    /// As kubectl: addresses of the load balancer and of `spec.externalIPs` in one column.
    fn external(&self) -> String {
        let mut all = self.load_balancer_ips.clone();
        for addr in &self.external_ips {
            add_once(&mut all, *addr);
        }
        match (self.kind, all.is_empty()) {
            (ServiceType::LoadBalancer, true) => "<pending>".to_owned(),
            _ => joined(all),
        }
    }

    fn readiness(&self) -> Cell {
        let tone = match (self.ready, self.total) {
            (0, _) => Tone::Bad,
            (ready, total) if ready < total => Tone::Odd,
            _ => Tone::Good,
        };
        Cell::state(format!("{}/{}", self.ready, self.total), tone)
    }

    /// Session affinity in words.
    pub(crate) fn affinity(&self) -> String {
        self.affinity_timeout_s
            .map_or_else(|| "None".to_owned(), |timeout_s| format!("ClientIP ({timeout_s}s)"))
    }

    fn policies(&self) -> String {
        match (self.external_policy, self.internal_policy) {
            (TrafficPolicy::Cluster, TrafficPolicy::Cluster) => "Cluster".to_owned(),
            (external, internal) => {
                format!("ext={},int={}", policy_name(external), policy_name(internal))
            }
        }
    }
}

impl From<&ServiceValue> for PortView {
    fn from(value: &ServiceValue) -> Self {
        Self {
            name: text(&value.port_name).to_owned(),
            protocol: value.proto.to_string(),
            port: value.port.number(),
            target_port: text(&value.target_port).to_owned(),
            node_port: Some(value.node_port.number()).filter(|number| *number != 0),
        }
    }
}

impl PortView {
    /// As kubectl: `80:30123/TCP`.
    fn short(&self) -> String {
        let node_port = self.node_port.map(|number| format!(":{number}")).unwrap_or_default();
        format!("{}{node_port}/{}", self.port, self.protocol)
    }
}

fn add_once<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

impl Row for ServiceView {
    const COLUMNS: &'static [Column] = &[
        Column::new("NAMESPACE"),
        Column::new("NAME"),
        Column::new("TYPE"),
        Column::new("CLUSTER-IP"),
        Column::new("EXTERNAL-IP"),
        Column::new("PORT(S)"),
        Column::wide("READY/TOTAL"),
        Column::wide("AFFINITY"),
        Column::wide("POLICY"),
        Column::wide("PACKETS"),
        Column::wide("BYTES"),
        Column::wide("CONNS"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let ports = joined(self.ports.iter().map(PortView::short));
        vec![
            Cell::new(&self.namespace),
            Cell::new(&self.name),
            Cell::new(type_name(self.kind)),
            Cell::new(joined(&self.cluster_ips)),
            Cell::new(self.external()),
            Cell::new(ports),
            self.readiness(),
            Cell::new(self.affinity()),
            Cell::new(self.policies()),
            Cell::new(self.traffic.packets),
            Cell::new(self.traffic.bytes),
            Cell::new(self.traffic.connections),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes(&self.object())
    }
}
