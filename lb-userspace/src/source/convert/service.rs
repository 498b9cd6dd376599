//! A v1 Service to the model: SEMANTICS 7 to 10, 14, 18 and the API's defaults.
//!
//! Policies are carried as written; whether they count is `compile`'s to decide. Addresses and
//! ports that nobody wrote stay empty here: giving them is the control plane's work.

use crate::model::{Algorithm, Service, ServicePort, ServiceType, TrafficPolicy};
use crate::source::convert::address::{self, Sources};
use crate::source::convert::{field, port};
use crate::source::report::{Report, quoted};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` if absent: three hours.
const AFFINITY_TIMEOUT_S: u32 = 10800;
const ALGORITHM: &str = "service.lb/algorithm";
const TOLERATE_UNREADY: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";

/// The Service that `object` describes; `None` if it has no usable name or belongs to another
/// proxy.
pub fn service(object: &api::Service, report: &mut Report) -> Option<Service> {
    let name = field::object_name(&object.metadata, report)?;
    if field::belongs_to_another_proxy(&object.metadata) {
        tracing::debug!(service = %name, "belongs to another proxy");
        return None;
    }
    let absent = api::ServiceSpec::default();
    let spec = object.spec.as_ref().unwrap_or(&absent);
    let kind = kind(spec, report);
    let headless =
        kind != ServiceType::ExternalName && address::written_cluster_ip(spec) == Some("None");
    let sources = Sources::of(spec, report);
    Some(Service {
        name,
        kind,
        cluster_ips: if headless || kind == ServiceType::ExternalName {
            Vec::new()
        } else {
            address::cluster_ips(spec, report)
        },
        headless,
        external_name: external_name(spec, kind, report),
        external_ips: address::external_ips(spec, report),
        load_balancer_ips: if sources.closed {
            Vec::new()
        } else {
            address::load_balancer_ips(object, report)
        },
        source_ranges: sources.ranges,
        ports: ports(spec, kind, headless, report),
        affinity_timeout_s: affinity_timeout(spec, report),
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
        health_check_node_port: health_check_node_port(spec, report),
        selector: spec.selector.clone().unwrap_or_default(),
        publish_not_ready: publish_not_ready(object, spec),
        algorithm: algorithm(&object.metadata, report),
        created_s: object
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
    })
}

fn kind(spec: &api::ServiceSpec, report: &mut Report) -> ServiceType {
    match spec.type_.as_deref().unwrap_or_default() {
        "" | "ClusterIP" => ServiceType::ClusterIP,
        "NodePort" => ServiceType::NodePort,
        "LoadBalancer" => ServiceType::LoadBalancer,
        "ExternalName" => ServiceType::ExternalName,
        other => {
            report.add(
                "spec.type",
                format!(
                    "{} is not a type of Service; taken as ClusterIP",
                    quoted(other)
                ),
            );
            ServiceType::ClusterIP
        }
    }
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
    if field::is_subdomain(&name) {
        return Some(name);
    }
    report.add(
        "spec.externalName",
        format!(
            "{} is not a DNS name, so nothing is answered",
            quoted(written)
        ),
    );
    None
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
    port::ports(list, report)
}

fn affinity_timeout(spec: &api::ServiceSpec, report: &mut Report) -> Option<u32> {
    match spec.session_affinity.as_deref().unwrap_or_default() {
        "" | "None" => return None,
        "ClientIP" => {}
        other => {
            report.add(
                "spec.sessionAffinity",
                format!("{} is not None or ClientIP; taken as None", quoted(other)),
            );
            return None;
        }
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let Some(written) = config.and_then(|config| config.timeout_seconds) else {
        return Some(AFFINITY_TIMEOUT_S);
    };
    let valid = u32::try_from(written)
        .ok()
        .filter(|seconds| (1..=86400).contains(seconds));
    if valid.is_none() {
        let message = format!("{written} is not within 1 to 86400; taken as {AFFINITY_TIMEOUT_S}");
        report.add(
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
            message,
        );
    }
    valid.or(Some(AFFINITY_TIMEOUT_S))
}

fn policy(text: Option<&str>, path: &str, report: &mut Report) -> TrafficPolicy {
    match text.unwrap_or_default() {
        "" | "Cluster" => TrafficPolicy::Cluster,
        "Local" => TrafficPolicy::Local,
        other => {
            report.add(
                path,
                format!(
                    "{} is not Cluster or Local; taken as Cluster",
                    quoted(other)
                ),
            );
            TrafficPolicy::Cluster
        }
    }
}

/// 0 counts as absent.
fn health_check_node_port(spec: &api::ServiceSpec, report: &mut Report) -> Option<u16> {
    let number = spec.health_check_node_port.filter(|&number| number != 0)?;
    field::port(number, "spec.healthCheckNodePort", report)
}

fn publish_not_ready(object: &api::Service, spec: &api::ServiceSpec) -> bool {
    let annotated = field::annotation(&object.metadata, TOLERATE_UNREADY) == Some("true");
    annotated || spec.publish_not_ready_addresses.unwrap_or_default()
}

fn algorithm(metadata: &ObjectMeta, report: &mut Report) -> Algorithm {
    match field::annotation(metadata, ALGORITHM).unwrap_or("random") {
        "random" => Algorithm::Random,
        "maglev" => Algorithm::Maglev,
        other => {
            let message = format!("{} is not random or maglev; taken as random", quoted(other));
            report.add(format!("metadata.annotations[{ALGORITHM}]"), message);
            Algorithm::Random
        }
    }
}
