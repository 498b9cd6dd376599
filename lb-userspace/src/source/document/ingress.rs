//! Ingress as it was until Kubernetes 1.21: `extensions/v1beta1` and `networking.k8s.io/v1beta1`,
//! which an API server turned into `networking.k8s.io/v1`. Where there is none, this does.
//!
//! Three things were different: `backend` was called so where it is `defaultBackend` now, its
//! Service was named by `serviceName` and `servicePort`, and `pathType` could be left out.

use k8s_openapi::api::networking::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The versions that looked like this.
pub(super) const VERSIONS: [&str; 2] = ["extensions/v1beta1", "networking.k8s.io/v1beta1"];

/// What `pathType` meant where it was left out.
const PATH_TYPE: &str = "ImplementationSpecific";

/// The old form.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Ingress {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Option<Spec>,
    status: Value,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    ingress_class_name: Option<String>,
    backend: Option<Backend>,
    tls: Option<Vec<v1::IngressTLS>>,
    rules: Option<Vec<Rule>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    host: Option<String>,
    http: Option<Http>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Http {
    paths: Option<Vec<HttpPath>>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpPath {
    path: Option<String>,
    path_type: Option<String>,
    backend: Backend,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Backend {
    service_name: Option<String>,
    service_port: Option<IntOrString>,
    resource: Option<k8s_openapi::api::core::v1::TypedLocalObjectReference>,
}

impl From<Ingress> for v1::Ingress {
    fn from(old: Ingress) -> Self {
        Self { metadata: old.metadata, spec: old.spec.map(Into::into), status: None }
    }
}

impl From<Spec> for v1::IngressSpec {
    fn from(old: Spec) -> Self {
        Self {
            ingress_class_name: old.ingress_class_name,
            default_backend: old.backend.map(Into::into),
            tls: old.tls,
            rules: old.rules.map(|rules| rules.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<Rule> for v1::IngressRule {
    fn from(old: Rule) -> Self {
        let http = |http: Http| {
            let paths = http.paths.into_iter().flatten().map(Into::into).collect();
            v1::HTTPIngressRuleValue { paths }
        };
        Self { host: old.host, http: old.http.map(http) }
    }
}

impl From<HttpPath> for v1::HTTPIngressPath {
    fn from(old: HttpPath) -> Self {
        Self {
            path: old.path,
            path_type: old.path_type.unwrap_or_else(|| PATH_TYPE.to_owned()),
            backend: old.backend.into(),
        }
    }
}

impl From<Backend> for v1::IngressBackend {
    fn from(old: Backend) -> Self {
        let port = old.service_port.map(|port| match port {
            IntOrString::Int(number) => v1::ServiceBackendPort { number: Some(number), name: None },
            IntOrString::String(name) => v1::ServiceBackendPort { number: None, name: Some(name) },
        });
        let name = old.service_name;
        let names_service = name.is_some() || port.is_some();
        let service = names_service
            .then(|| v1::IngressServiceBackend { name: name.unwrap_or_default(), port });
        Self { resource: old.resource, service }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_old_form_becomes_the_new_one() {
        let old = json!({
            "apiVersion": "extensions/v1beta1", "kind": "Ingress",
            "metadata": {"name": "kubia"},
            "spec": {
                "backend": {"serviceName": "other", "servicePort": "http"},
                "tls": [{"hosts": ["kubia.example.com"], "secretName": "tls-secret"}],
                "rules": [{"host": "kubia.example.com", "http": {"paths": [
                    {"path": "/", "backend": {"serviceName": "kubia", "servicePort": 80}},
                    {"pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "b"}}},
                ]}}, {"host": "empty.example.com"}],
            },
        });
        let new = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "kubia"},
            "spec": {
                "defaultBackend": {"service": {"name": "other", "port": {"name": "http"}}},
                "tls": [{"hosts": ["kubia.example.com"], "secretName": "tls-secret"}],
                "rules": [{"host": "kubia.example.com", "http": {"paths": [
                    {"path": "/", "pathType": "ImplementationSpecific",
                        "backend": {"service": {"name": "kubia", "port": {"number": 80}}}},
                    {"pathType": "Exact", "backend": {"resource": {"kind": "Bucket", "name": "b"}}},
                ]}}, {"host": "empty.example.com"}],
            },
        });
        let old: Ingress = serde_json::from_value(old).unwrap();
        let converted = v1::Ingress::from(old);
        assert_eq!(converted, serde_json::from_value(new).unwrap());
    }

    #[test]
    fn an_ingress_without_anything_stays_so() {
        assert_eq!(v1::Ingress::from(Ingress::default()), v1::Ingress::default());
    }
}
