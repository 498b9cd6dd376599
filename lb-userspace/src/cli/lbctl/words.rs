//! Ids to names, codes of the layout to Kubernetes' words, numbers to what people read.

use crate::model::{ObjectName, ServiceType, TrafficPolicy};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::counter::Traffic;
use lb_common::layout::service::{ServiceValue, text};
use lb_common::wire::{Addr, Port};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What stands where there is nothing, as in kubectl's tables.
pub(super) const NONE: &str = "<none>";
/// What stands in place of the name of something that is not in the maps any more.
pub(super) const GONE: &str = "<gone>";

/// The name of a service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct PortRef {
    /// The Service's namespace.
    pub(super) namespace: String,
    /// The Service's name.
    pub(super) name: String,
    /// `spec.ports[].name`; may be empty.
    pub(super) port_name: String,
    /// `spec.ports[].port`.
    pub(super) port: u16,
}

impl PortRef {
    /// The service port with this id, if it is still there.
    pub(super) fn of(tables: &Tables, service: u32) -> Option<Self> {
        tables.services.get(&service).map(Self::from)
    }

    /// The Service that it belongs to.
    pub(super) fn object(&self) -> ObjectName {
        ObjectName::new(&self.namespace, &self.name)
    }

    /// Its port's name, else its number.
    pub(super) fn port(&self) -> String {
        if self.port_name.is_empty() { self.port.to_string() } else { self.port_name.clone() }
    }
}

impl From<&ServiceValue> for PortRef {
    fn from(value: &ServiceValue) -> Self {
        Self {
            namespace: text(&value.namespace).to_owned(),
            name: text(&value.name).to_owned(),
            port_name: text(&value.port_name).to_owned(),
            port: value.port.number(),
        }
    }
}

/// `namespace/name:port`.
impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.port())
    }
}

/// The name of a service port that may be gone.
pub(super) fn port_name(port: Option<&PortRef>) -> String {
    port.map_or_else(|| GONE.to_owned(), ToString::to_string)
}

/// The name of a Service that may be gone.
pub(super) fn service_name(port: Option<&PortRef>) -> String {
    port.map_or_else(|| GONE.to_owned(), |port| port.object().to_string())
}

/// `spec.type`.
pub(super) fn service_type(value: &ServiceValue) -> ServiceType {
    match value.kind {
        ServiceValue::NODE_PORT => ServiceType::NodePort,
        ServiceValue::LOAD_BALANCER => ServiceType::LoadBalancer,
        _ => ServiceType::ClusterIP,
    }
}

/// Kubernetes' spelling.
pub(super) fn type_name(kind: ServiceType) -> &'static str {
    match kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
        ServiceType::ExternalName => "ExternalName",
    }
}

/// The policy that bit `local` of a service's flags stands for.
pub(super) fn policy(value: &ServiceValue, local: u8) -> TrafficPolicy {
    if value.flags & local == 0 { TrafficPolicy::Cluster } else { TrafficPolicy::Local }
}

/// Kubernetes' spelling.
pub(super) fn policy_name(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

/// `IPv4` or `IPv6`.
pub(super) fn family_name(family: u8) -> &'static str {
    if family == 6 { "IPv6" } else { "IPv4" }
}

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EndpointState {
    /// It takes new connections.
    Ready,
    /// It shuts down and would still serve: used if nobody is ready.
    ServingTerminating,
    /// It shuts down and does not serve.
    Terminating,
    /// It takes none.
    NotReady,
}

impl EndpointState {
    pub(super) fn of(backend: &BackendValue) -> Self {
        let is = |bit| backend.flags & bit != 0;
        let serving = is(BackendValue::SERVING);
        match (is(BackendValue::READY), is(BackendValue::TERMINATING)) {
            (true, _) => Self::Ready,
            (false, true) if serving => Self::ServingTerminating,
            (false, true) => Self::Terminating,
            (false, false) => Self::NotReady,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::ServingTerminating => "serving, terminating",
            Self::Terminating => "terminating",
            Self::NotReady => "not ready",
        }
    }
}

/// What went through something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct TrafficView {
    /// Packets, both directions.
    pub(super) packets: u64,
    /// Their bytes, from the IP header on.
    pub(super) bytes: u64,
    /// Flows opened.
    pub(super) connections: u64,
}

impl From<Traffic> for TrafficView {
    fn from(traffic: Traffic) -> Self {
        Self { packets: traffic.packets, bytes: traffic.bytes, connections: traffic.connections }
    }
}

impl TrafficView {
    pub(super) fn add(&mut self, traffic: Traffic) {
        self.packets += traffic.packets;
        self.bytes += traffic.bytes;
        self.connections += traffic.connections;
    }
}

/// An address and port in the form that everybody writes: `10.0.0.1:80`, `[fd00::1]:80`.
pub(super) fn socket(addr: Addr, port: Port) -> SocketAddr {
    SocketAddr::new(addr.to_ip(), port.number())
}

/// The address, unless it is "none".
pub(super) fn some_ip(addr: Addr) -> Option<IpAddr> {
    (addr != Addr::ANY).then(|| addr.to_ip())
}

/// Items with commas between them, or [`NONE`].
pub(super) fn joined<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(",") }
}

pub(super) fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// A time span in at most two units, as kubectl writes ages: `7s`, `2m5s`, `3h12m`, `4d1h`.
pub(super) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0s".to_owned();
    };
    let mut rest = seconds;
    let mut text = String::new();
    for (size, unit) in UNITS.iter().skip(first).take(2) {
        if rest >= *size {
            text += &(rest / size).to_string();
            text += unit;
        }
        rest %= size;
    }
    text
}

/// A time span that may be unknown.
pub(super) fn some_span(seconds: Option<u64>) -> String {
    seconds.map_or_else(|| "?".to_owned(), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_two_units() {
        let spans = [0, 7, 125, 3_600, 11_520, 86_405, 349_200].map(span);
        assert_eq!(spans, ["0s", "7s", "2m5s", "1h", "3h12m", "1d", "4d1h"]);
    }

    #[test]
    fn states_of_endpoints_are_told_by_their_conditions() {
        let state = |flags| {
            EndpointState::of(&BackendValue { flags, ..bytemuck::Zeroable::zeroed() }).name()
        };
        let (ready, serving, terminating) =
            (BackendValue::READY, BackendValue::SERVING, BackendValue::TERMINATING);
        assert_eq!(state(ready | serving), "ready");
        assert_eq!(state(serving | terminating), "serving, terminating");
        assert_eq!(state(terminating), "terminating");
        assert_eq!(state(serving), "not ready");
        assert_eq!(state(0), "not ready");
    }
}
