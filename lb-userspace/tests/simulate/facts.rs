//! What the agent knows and wants: right expectations pass, wrong ones are told.

use crate::{changed, judged};
use lb_userspace::compile::node::SnatMode;
use lb_userspace::simulate::Simulator;
use serde_json::json;

#[test]
fn facts_that_do_not_hold_are_noticed() {
    let port = "default/kubia:http/TCP";
    let facts = [
        (
            "expectHealth",
            json!({"default/kubia": {"port": 1, "localReadyEndpoints": 1, "httpStatus": 200}}),
        ),
        ("expectLocalReadyEndpoints", json!({"default/kubia": 2})),
        (
            "expectEndpoints",
            json!({"service": port, "cluster": null, "local": [], "anyEndpointsInCluster": true}),
        ),
        ("expectEndpointsMap", json!({})),
        (
            "expectFrontends",
            json!({"family": "IPv4", "frontends": [], "healthCheckNodePort": null}),
        ),
        ("expectClusterIPs", json!({"IPv4": "10.96.0.11", "IPv6": null})),
        (
            "expectNodePortAddresses",
            json!({"IPv4": {"matchAll": false, "ips": ["192.0.2.2"]}, "IPv6": null}),
        ),
        ("expectChanged", json!(false)),
        ("expectConntrackCleanup", json!(true)),
        ("httpClosed", json!([])),
    ];
    let mut simulator = Simulator::start(SnatMode::Minimal).unwrap();
    for (field, value) in facts {
        let report = judged(&mut simulator, &changed(&format!("/{field}"), value));
        let failed: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.name.as_str())
            .collect();
        let expected = usize::from(field.starts_with("expect"));
        assert_eq!(failed.len(), expected, "{field}: {failed:?}");
        assert!(failed.iter().all(|name| name.starts_with(field)), "{failed:?}");
    }
}

#[test]
fn facts_that_hold_pass() {
    let port = "default/kubia:http/TCP";
    let known = |endpoint: &str, is_local: bool| json!({"endpoint": endpoint, "isLocal": is_local, "ready": true, "serving": true, "terminating": false});
    let facts = [
        ("expectLocalReadyEndpoints", json!({"default/kubia": 1})),
        (
            "expectEndpoints",
            json!({
                "service": port,
                "cluster": ["10.244.1.11:8080", "10.244.2.12:8080"],
                "local": ["10.244.1.11:8080"],
                "anyEndpointsInCluster": true
            }),
        ),
        (
            "expectEndpointsMap",
            json!({port: [known("10.244.1.11:8080", true), known("10.244.2.12:8080", false)]}),
        ),
        (
            "expectFrontends",
            json!({
                "family": "IPv4",
                "frontends": [
                    {"kind": "ClusterIP", "ip": "10.96.0.10", "protocol": "TCP", "port": 80, "portName": "http"},
                    {"kind": "NodePort", "protocol": "TCP", "port": 30123, "portName": "http"}
                ],
                "healthCheckNodePort": null
            }),
        ),
        ("expectClusterIPs", json!({"IPv4": "10.96.0.10", "IPv6": null})),
        (
            "expectNodePortAddresses",
            json!({"IPv4": {"matchAll": true, "ips": ["192.0.2.2"]}, "IPv6": null}),
        ),
        ("expectChanged", json!(true)),
        ("expectConntrackCleanup", json!(false)),
        ("httpClosed", json!([31_000])),
    ];
    let mut simulator = Simulator::start(SnatMode::Minimal).unwrap();
    for (field, value) in facts {
        let report = judged(&mut simulator, &changed(&format!("/{field}"), value));
        assert_eq!((report.passed, report.failed), (6, 0), "{field}: {:?}", report.checks.last());
    }
}
