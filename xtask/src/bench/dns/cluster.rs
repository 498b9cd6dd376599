//! The cluster that both servers know: the same objects at every run.
//!
//! Every second Service is headless; all have five ready endpoints on other nodes.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How many Services there are.
pub(super) const SERVICES: usize = 1000;
/// How many namespaces they are spread over.
pub(super) const NAMESPACES: usize = 20;
/// How many endpoints each has.
pub(super) const ENDPOINTS: usize = 5;
/// The domain of their names.
pub(super) const DOMAIN: &str = "cluster.local";
/// Where the addresses of Services and pods lie.
pub(super) const SERVICE_CIDR: &str = "10.96.0.0/16";
/// See [`SERVICE_CIDR`].
pub(super) const POD_CIDR: &str = "10.244.0.0/16";

/// A Service and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    /// `None`: it is headless.
    pub(super) cluster_ip: Option<Ipv4Addr>,
    pub(super) endpoints: [Ipv4Addr; ENDPOINTS],
}

/// The namespaces' names.
pub(super) fn namespaces() -> Vec<String> {
    (0..NAMESPACES).map(namespace).collect()
}

fn namespace(number: usize) -> String {
    format!("team-{number:02}")
}

/// All Services.
pub(super) fn services() -> Vec<Service> {
    (0..SERVICES).map(Service::new).collect()
}

impl Service {
    fn new(number: usize) -> Self {
        let headless = number % 2 == 1;
        Self {
            namespace: namespace(number * NAMESPACES / SERVICES),
            name: format!("{}-{number:03}", if headless { "db" } else { "api" }),
            cluster_ip: (!headless).then(|| address(96, number)),
            endpoints: std::array::from_fn(|at| address(244, number * ENDPOINTS + at)),
        }
    }

    /// Its DNS name.
    pub(super) fn dns_name(&self) -> String {
        format!("{}.{}.svc.{DOMAIN}.", self.name, self.namespace)
    }

    /// As an API server has it.
    pub(super) fn object(&self) -> Value {
        let cluster_ip = self.cluster_ip.map_or_else(|| "None".to_owned(), |ip| ip.to_string());
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(&self.name, &self.namespace),
            "spec": {
                "type": "ClusterIP",
                "clusterIP": cluster_ip,
                "clusterIPs": [cluster_ip],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "None",
                "selector": {"app": self.name},
                "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
            },
        })
    }

    /// Its only slice, as an API server has it.
    pub(super) fn slice(&self) -> Value {
        let mut labels = BTreeMap::from([("kubernetes.io/service-name", self.name.as_str())]);
        if self.cluster_ip.is_none() {
            labels.insert("service.kubernetes.io/headless", "");
        }
        let mut metadata = metadata(&format!("{}-slice", self.name), &self.namespace);
        if let Some(fields) = metadata.as_object_mut() {
            fields.insert("labels".to_owned(), json!(labels));
        }
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            "endpoints": self.endpoints.iter().enumerate().map(|(at, ip)| self.endpoint(at, *ip))
                .collect::<Value>(),
        })
    }

    /// Pods of a headless Service have host names, as a `StatefulSet` gives them.
    fn endpoint(&self, at: usize, ip: Ipv4Addr) -> Value {
        let hostname = self.cluster_ip.is_none().then(|| format!("{}-{at}", self.name));
        json!({
            "addresses": [ip],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "hostname": hostname,
            "nodeName": "another",
        })
    }
}

/// A namespace, as an API server has it.
pub(super) fn namespace_object(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata(name, ""),
        "status": {"phase": "Active"},
    })
}

fn metadata(name: &str, namespace: &str) -> Value {
    let uid = format!("{namespace}/{name}");
    json!({"name": name, "namespace": namespace, "uid": uid, "resourceVersion": "1"})
}

/// The address with this number in `10.NET.0.0/16`: none ends in 0 or 255.
fn address(net: u8, number: usize) -> Ipv4Addr {
    let octet = |number: usize| u8::try_from(number % 250 + 1).unwrap_or_default();
    Ipv4Addr::new(10, net, octet(number / 250), octet(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_second_service_is_headless_and_no_address_is_given_twice() {
        let services = services();
        let headless = services.iter().filter(|service| service.cluster_ip.is_none());
        assert_eq!(headless.count(), SERVICES / 2);
        let addresses: BTreeSet<_> = services
            .iter()
            .flat_map(|service| service.cluster_ip.into_iter().chain(service.endpoints))
            .collect();
        assert_eq!(addresses.len(), SERVICES / 2 + SERVICES * ENDPOINTS);
        let used: BTreeSet<_> = services.iter().map(|service| &service.namespace).collect();
        assert!(used.into_iter().eq(&namespaces()));
    }

    #[test]
    fn headless_services_have_pods_with_names() {
        let [api, db] = [0, 1].map(Service::new);
        assert_eq!(api.object()["spec"]["clusterIP"], "10.96.1.1");
        assert_eq!(db.object()["spec"]["clusterIP"], "None");
        assert_eq!(db.dns_name(), "db-001.team-00.svc.cluster.local.");
        assert_eq!(db.slice()["endpoints"][4]["hostname"], "db-001-4");
        assert_eq!(api.slice()["endpoints"][4]["hostname"], Value::Null);
    }
}
