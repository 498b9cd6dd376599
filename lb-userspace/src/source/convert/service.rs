//! A v1 Service to the model, with the API's defaults.
//!
//! Policies are carried as written; whether they count is `compile`'s to decide. Addresses and
//! ports that nobody wrote stay empty here: giving them is the control plane's work.

use crate::model::{AffinityScope, Algorithm, Service, ServicePort, ServiceType, TrafficPolicy};
use crate::source::convert::address::{self, Sources};
use crate::source::convert::{field, port};
use crate::source::report::{Report, quoted};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` if absent: three hours.
const AFFINITY_TIMEOUT_S: u32 = 10800;
const ALGORITHM: &str = "service.lb/algorithm";
const AFFINITY_SCOPE: &str = "service.lb/affinity-scope";
const TOLERATE_UNREADY: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";

const KINDS: [(&str, ServiceType); 4] = [
    ("ClusterIP", ServiceType::ClusterIP),
    ("NodePort", ServiceType::NodePort),
    ("LoadBalancer", ServiceType::LoadBalancer),
    ("ExternalName", ServiceType::ExternalName),
];

/// The Service that `object` describes; `None` if it has no usable name. What is wrong with one
/// that belongs to another proxy is not ours to say.
pub fn service(object: &api::Service, report: &mut Report) -> Option<Service> {
    let name = field::object_name(&object.metadata, report)?;
    let other_proxy = field::other_proxy(&object.metadata).map(str::to_owned);
    let mut quiet = Report::new("");
    let report = if other_proxy.is_some() { &mut quiet } else { report };
    let absent = api::ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&absent);
    let kind = field::choice(spec.type_.as_deref(), &KINDS, "spec.type", report);
    let headless =
        kind != ServiceType::ExternalName && address::written_cluster_ip(spec) == Some("None");
    let sources = Sources::of(spec, report);
    let affinity_timeout_s = affinity_timeout(spec, report);
    Some(Service {
        name,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        kind,
        cluster_ips: if headless || kind == ServiceType::ExternalName {
            Vec::new()
        } else {
            address::cluster_ips(spec, report)
        },
        headless,
        external_name: external_name(spec, kind, report),
        external_ips: address::external_ips(spec, report),
        load_balancer_ips: address::load_balancer_ips(object, kind, &sources, report),
        source_ranges: sources.ranges,
        ports: ports(spec, kind, headless, report),
        affinity_timeout_s,
        affinity_scope: affinity_scope(&object.metadata, affinity_timeout_s.is_some(), report),
        external_policy: policy(
            spec.external_traffic_policy.as_deref(),
            "spec.externalTrafficPolicy",
            report,
        ),
        internal_policy: policy(
            spec.internal_traffic_policy.as_deref(),
            "spec.internalTrafficPolicy",
            report,
        ),
        health_check_node_port: field::optional_port(
            spec.health_check_node_port,
            "spec.healthCheckNodePort",
            report,
        ),
        selector: spec.selector.clone().unwrap_or_default(),
        publish_not_ready: publish_not_ready(object, spec),
        algorithm: algorithm(&object.metadata, report),
        other_proxy,
        created_s: object.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        unusable: report.take_unusable(),
    })
}

fn external_name(
    spec: &api::ServiceSpec,
    kind: ServiceType,
    report: &mut Report,
) -> Option<String> {
    if kind != ServiceType::ExternalName {
        return None;
    }
    let written = spec.external_name.as_deref().unwrap_or_default();
    let name = written.trim_end_matches('.').to_ascii_lowercase();
    let name = Some(name).filter(|name| field::is_subdomain(name));
    let message = || format!("{} is not a DNS name, so nothing is answered", quoted(written));
    report.need(name, "spec.externalName", message)
}

fn ports(
    spec: &api::ServiceSpec,
    kind: ServiceType,
    headless: bool,
    report: &mut Report,
) -> Vec<ServicePort> {
    let list = spec.ports.as_deref().unwrap_or_default();
    if list.is_empty() && !headless && kind != ServiceType::ExternalName {
        report.add("spec.ports", "is empty, so nothing is served");
    }
    let odd_node_ports = kind == ServiceType::ClusterIP && !headless;
    port::ports(list, odd_node_ports, report)
}

fn affinity_timeout(spec: &api::ServiceSpec, report: &mut Report) -> Option<u32> {
    let names = [("None", false), ("ClientIP", true)];
    let affinity =
        field::choice(spec.session_affinity.as_deref(), &names, "spec.sessionAffinity", report);
    affinity.then(|| timeout(spec, report).unwrap_or(AFFINITY_TIMEOUT_S))
}

fn timeout(spec: &api::ServiceSpec, report: &mut Report) -> Option<u32> {
    const FIELD: &str = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    let written = spec.session_affinity_config.as_ref()?.client_ip.as_ref()?.timeout_seconds?;
    let seconds = u32::try_from(written).ok().filter(|seconds| (1..=86400).contains(seconds));
    let message = || format!("{written} is not within 1 to 86400; taken as {AFFINITY_TIMEOUT_S}");
    report.need(seconds, FIELD, message)
}

/// One endpoint over all ports is the product's own; without affinity there is nothing to keep.
fn affinity_scope(metadata: &ObjectMeta, has_affinity: bool, report: &mut Report) -> AffinityScope {
    let names = [("port", AffinityScope::Port), ("service", AffinityScope::Service)];
    let path = format!("metadata.annotations[{AFFINITY_SCOPE}]");
    let scope = field::choice(field::annotation(metadata, AFFINITY_SCOPE), &names, &path, report);
    if scope == AffinityScope::Service && !has_affinity {
        report.add(path, "means nothing without sessionAffinity: ClientIP");
    }
    scope
}

fn policy(text: Option<&str>, path: &str, report: &mut Report) -> TrafficPolicy {
    let names = [("Cluster", TrafficPolicy::Cluster), ("Local", TrafficPolicy::Local)];
    field::choice(text, &names, path, report)
}

fn publish_not_ready(object: &api::Service, spec: &api::ServiceSpec) -> bool {
    let annotated = field::annotation(&object.metadata, TOLERATE_UNREADY) == Some("true");
    annotated || spec.publish_not_ready_addresses.unwrap_or_default()
}

fn algorithm(metadata: &ObjectMeta, report: &mut Report) -> Algorithm {
    let names = [("random", Algorithm::Random), ("maglev", Algorithm::Maglev)];
    let path = format!("metadata.annotations[{ALGORITHM}]");
    field::choice(field::annotation(metadata, ALGORITHM), &names, &path, report)
}
