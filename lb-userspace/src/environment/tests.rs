//! The cases of the kubelet's own tests (`envvars_test.go`, `kubelet_pods_test.go`), and what its
//! code says beyond them.

use super::*;
use crate::model::Change;
use crate::source::delivered;
use serde_json::{Value, json};

/// A Service as an API server gives it.
fn service(namespace: &str, name: &str, cluster_ip: &str, ports: Value) -> Service {
    let ips = if cluster_ip.is_empty() { json!([]) } else { json!([cluster_ip]) };
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": cluster_ip, "clusterIPs": ips, "ports": ports},
    });
    let mut all = delivered(&object).unwrap();
    let Change::Service(_, Some(service)) = all.remove(0).change else { panic!("no Service") };
    *service
}

fn one_port(namespace: &str, name: &str, cluster_ip: &str, port: u16) -> Service {
    service(namespace, name, cluster_ip, json!([{"port": port, "protocol": "TCP"}]))
}

fn lines(variables: &[Variable]) -> Vec<String> {
    variables.iter().map(|Variable { name, value }| format!("{name}={value}")).collect()
}

fn check(service: &Service, expected: &str) {
    let expected: Vec<&str> = expected.split_whitespace().collect();
    assert_eq!(lines(&of_service(service)), expected);
}

#[test]
fn a_dash_in_a_name_becomes_an_underscore() {
    let service = one_port("default", "foo-bar", "1.2.3.4", 8080);
    check(
        &service,
        "FOO_BAR_SERVICE_HOST=1.2.3.4
         FOO_BAR_SERVICE_PORT=8080
         FOO_BAR_PORT=tcp://1.2.3.4:8080
         FOO_BAR_PORT_8080_TCP=tcp://1.2.3.4:8080
         FOO_BAR_PORT_8080_TCP_PROTO=tcp
         FOO_BAR_PORT_8080_TCP_PORT=8080
         FOO_BAR_PORT_8080_TCP_ADDR=1.2.3.4",
    );
}

#[test]
fn every_named_port_has_a_variable_of_its_own_and_the_first_port_those_without_a_name() {
    let ports = json!([
        {"name": "u-d-p", "port": 8081, "protocol": "UDP"},
        {"name": "t-c-p", "port": 8081, "protocol": "TCP"},
    ]);
    check(
        &service("default", "abc-123", "5.6.7.8", ports),
        "ABC_123_SERVICE_HOST=5.6.7.8
         ABC_123_SERVICE_PORT=8081
         ABC_123_SERVICE_PORT_U_D_P=8081
         ABC_123_SERVICE_PORT_T_C_P=8081
         ABC_123_PORT=udp://5.6.7.8:8081
         ABC_123_PORT_8081_UDP=udp://5.6.7.8:8081
         ABC_123_PORT_8081_UDP_PROTO=udp
         ABC_123_PORT_8081_UDP_PORT=8081
         ABC_123_PORT_8081_UDP_ADDR=5.6.7.8
         ABC_123_PORT_8081_TCP=tcp://5.6.7.8:8081
         ABC_123_PORT_8081_TCP_PROTO=tcp
         ABC_123_PORT_8081_TCP_PORT=8081
         ABC_123_PORT_8081_TCP_ADDR=5.6.7.8",
    );
}

#[test]
fn a_port_without_a_name_has_no_variable_by_name() {
    let ports = json!([{"port": 8082}, {"name": "8083", "port": 8083}]);
    check(
        &service("default", "q-u-u-x", "9.8.7.6", ports),
        "Q_U_U_X_SERVICE_HOST=9.8.7.6
         Q_U_U_X_SERVICE_PORT=8082
         Q_U_U_X_SERVICE_PORT_8083=8083
         Q_U_U_X_PORT=tcp://9.8.7.6:8082
         Q_U_U_X_PORT_8082_TCP=tcp://9.8.7.6:8082
         Q_U_U_X_PORT_8082_TCP_PROTO=tcp
         Q_U_U_X_PORT_8082_TCP_PORT=8082
         Q_U_U_X_PORT_8082_TCP_ADDR=9.8.7.6
         Q_U_U_X_PORT_8083_TCP=tcp://9.8.7.6:8083
         Q_U_U_X_PORT_8083_TCP_PROTO=tcp
         Q_U_U_X_PORT_8083_TCP_PORT=8083
         Q_U_U_X_PORT_8083_TCP_ADDR=9.8.7.6",
    );
}

#[test]
fn an_ipv6_address_is_in_brackets_only_where_a_port_follows() {
    let ports = json!([{"name": "u-d-p", "port": 8084, "protocol": "UDP"}]);
    check(
        &service("default", "super-ipv6", "2001:db8::", ports),
        "SUPER_IPV6_SERVICE_HOST=2001:db8::
         SUPER_IPV6_SERVICE_PORT=8084
         SUPER_IPV6_SERVICE_PORT_U_D_P=8084
         SUPER_IPV6_PORT=udp://[2001:db8::]:8084
         SUPER_IPV6_PORT_8084_UDP=udp://[2001:db8::]:8084
         SUPER_IPV6_PORT_8084_UDP_PROTO=udp
         SUPER_IPV6_PORT_8084_UDP_PORT=8084
         SUPER_IPV6_PORT_8084_UDP_ADDR=2001:db8::",
    );
}

#[test]
fn sctp_is_a_protocol_like_the_others() {
    let ports = json!([{"port": 777, "protocol": "SCTP"}]);
    check(
        &service("default", "sctp-1", "1.2.3.4", ports),
        "SCTP_1_SERVICE_HOST=1.2.3.4
         SCTP_1_SERVICE_PORT=777
         SCTP_1_PORT=sctp://1.2.3.4:777
         SCTP_1_PORT_777_SCTP=sctp://1.2.3.4:777
         SCTP_1_PORT_777_SCTP_PROTO=sctp
         SCTP_1_PORT_777_SCTP_PORT=777
         SCTP_1_PORT_777_SCTP_ADDR=1.2.3.4",
    );
}

#[test]
fn a_service_without_cluster_ip_has_no_variables() {
    for cluster_ip in ["None", ""] {
        check(&one_port("default", "svrc", cluster_ip, 8082), "");
    }
}

#[test]
fn of_two_families_the_first_cluster_ip_is_told() {
    let mut both = one_port("default", "both", "fd00::1", 80);
    both.cluster_ips.push("10.96.0.1".parse().unwrap());
    let variables = lines(&of_service(&both));
    assert_eq!(variables[0], "BOTH_SERVICE_HOST=fd00::1");
    assert!(variables.iter().all(|line| !line.contains("10.96.0.1")), "{variables:?}");
}

/// The Services of the kubelet's own test.
fn cluster() -> Vec<Service> {
    vec![
        one_port("default", "kubernetes", "1.2.3.1", 8081),
        one_port("default", "not-special", "1.2.3.8", 8088),
        one_port("test1", "test", "1.2.3.3", 8083),
        one_port("test2", "kubernetes", "1.2.3.4", 8084),
        one_port("test2", "test", "1.2.3.5", 8085),
        one_port("test2", "headless", "None", 8085),
    ]
}

/// The addresses that a container of `namespace` is told, by Service.
fn told(namespace: &str, services: &[Service]) -> Vec<String> {
    let variables = lines(&of_namespace(namespace, services));
    variables.into_iter().filter(|line| line.contains("_SERVICE_HOST=")).collect()
}

#[test]
fn a_namespace_is_told_its_own_services_and_the_api_servers() {
    let hosts = ["KUBERNETES_SERVICE_HOST=1.2.3.1", "TEST_SERVICE_HOST=1.2.3.3"];
    assert_eq!(told("test1", &cluster()), hosts);
}

#[test]
fn a_namespaces_own_kubernetes_goes_before_the_api_servers_in_any_order() {
    let hosts = ["KUBERNETES_SERVICE_HOST=1.2.3.4", "TEST_SERVICE_HOST=1.2.3.5"];
    let mut services = cluster();
    assert_eq!(told("test2", &services), hosts);
    services.reverse();
    assert_eq!(told("test2", &services), hosts);
}

#[test]
fn a_headless_kubernetes_of_the_namespace_hides_nothing() {
    let services = [
        one_port("default", "kubernetes", "1.2.3.1", 443),
        one_port("shop", "kubernetes", "None", 443),
    ];
    assert_eq!(told("shop", &services), ["KUBERNETES_SERVICE_HOST=1.2.3.1"]);
}

#[test]
fn a_namespace_that_nobody_knows_is_told_the_api_servers_only() {
    assert_eq!(told("nowhere", &cluster()), ["KUBERNETES_SERVICE_HOST=1.2.3.1"]);
    assert_eq!(told("nowhere", &[]), <[String; 0]>::default());
}

#[test]
fn a_variable_that_two_services_want_is_there_once_with_the_later_names_value() {
    let services = [
        one_port("default", "web", "1.1.1.1", 80),
        one_port("default", "web-service", "2.2.2.2", 8),
    ];
    let variables = lines(&of_namespace("default", &services));
    let wanted: Vec<_> =
        variables.iter().filter(|line| line.starts_with("WEB_SERVICE_PORT=")).collect();
    assert_eq!(wanted, ["WEB_SERVICE_PORT=tcp://2.2.2.2:8"]);
}
