//! One object to one value: defaults, and fields that cannot be used.

use crate::model::{Algorithm, ServiceType, TargetPort, TrafficPolicy};
use crate::source::convert::{self, field};
use crate::source::report::Report;
use serde_json::{Value, json};

/// The problems of a Service with `spec`, as `field: message`.
fn problems(spec: Value) -> Vec<String> {
    converted(json!({"metadata": {"name": "s"}, "spec": spec})).1
}

fn converted(object: Value) -> (crate::model::Service, Vec<String>) {
    let mut report = Report::new("s");
    let service = convert::service(&serde_json::from_value(object).unwrap(), &mut report);
    let said = report
        .into_problems()
        .iter()
        .map(|one| format!("{}: {}", one.field, one.message))
        .collect();
    (service.expect("a Service"), said)
}

fn of_spec(spec: Value) -> crate::model::Service {
    converted(json!({"metadata": {"name": "s"}, "spec": spec})).0
}

/// `change` is laid over a Service with one good port; exactly one problem, with field and words.
fn check(change: Value, field: &str, words: &str) -> crate::model::Service {
    let mut spec = json!({"ports": [{"port": 80}]});
    for (name, value) in change.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let (service, said) = converted(json!({"metadata": {"name": "s"}, "spec": spec}));
    assert!(said.len() == 1 && said[0].starts_with(&format!("{field}: ")), "{said:?}");
    assert!(said[0].contains(words), "{said:?}");
    service
}

#[test]
fn absent_fields_are_kubernetes_defaults() {
    let service = of_spec(json!({"ports": [{"port": 80}], "sessionAffinity": "ClientIP"}));
    assert_eq!(service.name.namespace, "default");
    assert_eq!(service.kind, ServiceType::ClusterIP);
    assert_eq!(service.ports[0].protocol.name(), "TCP");
    assert_eq!(service.ports[0].target_port, TargetPort::Number(80));
    assert_eq!(service.affinity_timeout_s, Some(10800));
    assert_eq!(service.external_policy, TrafficPolicy::Cluster);
    assert_eq!(service.internal_policy, TrafficPolicy::Cluster);
    assert_eq!(service.algorithm, Algorithm::Random);
    assert_eq!(service.created_s, 0);
}

#[test]
fn addresses_are_read_as_kubernetes_always_has() {
    let cases = [
        ("10.0.0.1", Some("10.0.0.1")),
        ("010.000.000.001", Some("10.0.0.1")),
        ("10.0.0.256", None),
        ("10.0.0", None),
        ("+1.0.0.1", None),
        ("2001:DB8::1", Some("2001:db8::1")),
        ("::ffff:10.0.0.1", Some("10.0.0.1")),
        ("fe80::1%eth0", None),
        ("", None),
        ("kubia", None),
    ];
    for (text, expect) in cases {
        assert_eq!(field::parse_address(text).map(|a| a.to_string()).as_deref(), expect, "{text}");
    }
}

#[test]
fn networks_tolerate_blanks_and_lose_their_host_bits() {
    let cases = [
        (" 10.1.2.3/8\t", Some("10.0.0.0/8")),
        ("010.1.2.3/32", Some("10.1.2.3/32")),
        ("2001:db8::1/64", Some("2001:db8::/64")),
        ("::ffff:10.1.2.3/104", Some("10.0.0.0/8")),
        ("::ffff:10.1.2.3/64", None),
        ("0.0.0.0/0", Some("0.0.0.0/0")),
        ("10.0.0.0/33", None),
        ("10.0.0.0", None),
        ("10.0.0.0/+8", None),
    ];
    for (text, expect) in cases {
        assert_eq!(field::parse_network(text).map(|n| n.to_string()).as_deref(), expect, "{text}");
    }
}

#[test]
fn a_port_that_cannot_be_served_is_dropped_alone() {
    let cases = [
        (json!({"name": "b", "port": 0}), "spec.ports[0].port"),
        (json!({"name": "b"}), "spec.ports[0].port"),
        (json!({"name": "b", "port": 70000}), "spec.ports[0].port"),
        (json!({"name": "b", "port": 1, "targetPort": 70000}), "spec.ports[0].targetPort"),
        (json!({"name": "b", "port": 1, "targetPort": "8080"}), "spec.ports[0].targetPort"),
        (json!({"name": "b", "port": 1, "protocol": "ICMP"}), "spec.ports[0].protocol"),
        (json!({"name": "B!", "port": 1}), "spec.ports[0].name"),
        (json!({"port": 1}), "spec.ports[0].name"),
    ];
    for (bad, field) in cases {
        let good = json!({"name": "good", "port": 443, "targetPort": "https", "protocol": "UDP"});
        let service = check(json!({"ports": [bad.clone(), good]}), field, "");
        assert_eq!(service.ports.len(), 1, "{bad}");
        assert_eq!(service.ports[0].name, "good");
    }
}

#[test]
fn a_bad_node_port_is_dropped_and_its_port_stays() {
    let service = check(
        json!({"ports": [{"port": 80, "nodePort": 70000}]}),
        "spec.ports[0].nodePort",
        "70000",
    );
    assert_eq!(service.ports[0].node_port, None);
}

#[test]
fn ports_that_are_there_twice_are_dropped_but_tcp_and_udp_are_two() {
    let ports = json!([
        {"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP"},
        {"name": "a", "port": 54}, {"name": "c", "port": 53},
    ]);
    let spec = json!({"ports": ports});
    assert_eq!(of_spec(spec.clone()).ports.len(), 2);
    let said = problems(spec);
    assert!(said[0].starts_with("spec.ports[2].name: \"a\" is an earlier port's name"), "{said:?}");
    assert!(said[1].starts_with("spec.ports[3].port: 53/TCP is an earlier port"), "{said:?}");
}

#[test]
fn values_that_nobody_knows_fall_back_to_the_default() {
    assert_eq!(check(json!({"type": "Magic"}), "spec.type", "Magic").kind, ServiceType::ClusterIP);
    check(
        json!({"externalTrafficPolicy": "local"}),
        "spec.externalTrafficPolicy",
        "taken as Cluster",
    );
    check(json!({"internalTrafficPolicy": "x"}), "spec.internalTrafficPolicy", "taken as Cluster");
    let service =
        check(json!({"sessionAffinity": "Cookie"}), "spec.sessionAffinity", "taken as None");
    assert_eq!(service.affinity_timeout_s, None);
}

#[test]
fn affinity_lasts_a_second_to_a_day() {
    let with = |seconds| json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}});
    let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    for bad in [-1, 0, 86401] {
        assert_eq!(check(with(bad), field, "taken as 10800").affinity_timeout_s, Some(10800));
    }
    for good in [1, 86400] {
        let mut spec = with(good);
        spec["ports"] = json!([{"port": 80}]);
        assert_eq!(of_spec(spec).affinity_timeout_s, u32::try_from(good).ok());
    }
}

#[test]
fn cluster_ips_are_one_of_each_family_and_none_means_headless() {
    assert_eq!(of_spec(json!({"clusterIP": "10.0.0.1"})).cluster_ips.len(), 1);
    let both = of_spec(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"]}));
    assert_eq!(both.cluster_ips.len(), 2);
    let headless = of_spec(json!({"clusterIP": "None"}));
    assert!(headless.headless && headless.cluster_ips.is_empty());
    assert!(of_spec(json!({"clusterIPs": ["None"]})).headless);
    check(json!({"clusterIP": "1.2.3.999"}), "spec.clusterIP", "is not an IP address");
    check(json!({"clusterIPs": ["10.0.0.1", "10.0.0.2"]}), "spec.clusterIPs[1]", "second address");
    check(
        json!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.1"]}),
        "spec.clusterIP",
        "differs",
    );
}

#[test]
fn an_external_name_has_no_address() {
    let service = of_spec(
        json!({"type": "ExternalName", "externalName": "someapi.somecompany.com.", "clusterIP": "10.0.0.1"}),
    );
    assert_eq!(service.external_name.as_deref(), Some("someapi.somecompany.com"));
    assert!(service.cluster_ips.is_empty() && !service.headless);
    check(json!({"type": "ExternalName"}), "spec.externalName", "not a DNS name");
}

#[test]
fn external_ips_are_addresses_that_packets_can_be_sent_to() {
    let list = json!([
        "1.2.3.4",
        "x",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.1.1",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "2001:db8::1",
        "1.2.3.4"
    ]);
    let spec = json!({"ports": [{"port": 80}], "externalIPs": list});
    let service = of_spec(spec.clone());
    assert_eq!(
        service.external_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["1.2.3.4", "2001:db8::1"]
    );
    let fields: Vec<_> =
        problems(spec).iter().map(|said| said.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(fields, (1..8).map(|n| format!("spec.externalIPs[{n}]")).collect::<Vec<_>>());
}

#[test]
fn load_balancer_addresses_are_vips_only() {
    let (service, said) = converted(json!({
        "metadata": {"name": "s"},
        "spec": {"type": "LoadBalancer", "loadBalancerIP": "9.9.9.9", "ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [
            {"ip": "1.1.1.1"}, {"ip": "2.2.2.2", "ipMode": "VIP"}, {"ip": "3.3.3.3", "ipMode": "Proxy"},
            {"hostname": "x"}, {"ip": "bad"}, {"ip": "4.4.4.4", "ipMode": "Magic"},
        ]}},
    }));
    assert_eq!(
        service.load_balancer_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["1.1.1.1", "2.2.2.2"]
    );
    assert_eq!(said.len(), 2);
    assert!(said[0].starts_with("status.loadBalancer.ingress[4].ip: "), "{said:?}");
    assert!(said[1].starts_with("status.loadBalancer.ingress[5].ipMode: "), "{said:?}");
}

#[test]
fn source_ranges_that_cannot_be_read_never_open_the_door() {
    let with = |ranges: Value| {
        converted(json!({
            "metadata": {"name": "s"},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerSourceRanges": ranges},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}},
        }))
    };
    let (service, said) = with(json!([" 10.0.0.0/8 ", "x"]));
    assert_eq!(
        (service.source_ranges.len(), service.load_balancer_ips.len(), said.len()),
        (1, 1, 1)
    );
    let (service, said) = with(json!(["10.0.0.1"]));
    assert_eq!((service.source_ranges.len(), service.load_balancer_ips.len()), (0, 0));
    assert!(said[1].contains("no load-balancer address is served"), "{said:?}");
}

#[test]
fn unready_addresses_are_published_by_field_or_old_annotation() {
    let annotated = |value| {
        let key = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
        converted(json!({"metadata": {"name": "s", "annotations": {key: value}}, "spec": {"ports": [{"port": 80}]}})).0
    };
    assert!(annotated("true").publish_not_ready && !annotated("false").publish_not_ready);
    assert!(of_spec(json!({"publishNotReadyAddresses": true})).publish_not_ready);
}

#[test]
fn the_algorithm_is_an_annotation() {
    let with = |value| {
        converted(
            json!({"metadata": {"name": "s", "annotations": {"service.lb/algorithm": value}}, "spec": {"ports": [{"port": 80}]}}),
        )
    };
    assert_eq!(with("maglev").0.algorithm, Algorithm::Maglev);
    assert_eq!(with("random").0.algorithm, Algorithm::Random);
    assert!(with("wrr").1[0].contains("taken as random"));
}

#[test]
fn a_service_of_another_proxy_is_not_ours() {
    let object = json!({"metadata": {"name": "s", "labels": {"service.kubernetes.io/service-proxy-name": "x"}}});
    assert_eq!(
        convert::service(&serde_json::from_value(object).unwrap(), &mut Report::new("s")),
        None
    );
}

#[test]
fn names_that_dns_cannot_hold_are_refused() {
    for name in ["", "A", "a_b", "-a", "a..b", "a\u{1b}[2J", &"a".repeat(64)] {
        let object = json!({"metadata": {"name": name}});
        let mut report = Report::new("s");
        assert_eq!(
            convert::service(&serde_json::from_value(object).unwrap(), &mut report),
            None,
            "{name}"
        );
        assert_eq!(report.into_problems()[0].field, "metadata.name");
    }
}

#[test]
fn the_time_of_creation_is_kept() {
    let metadata = json!({"name": "s", "creationTimestamp": "1970-01-02T00:00:00Z"});
    assert_eq!(converted(json!({"metadata": metadata})).0.created_s, 86400);
}

fn slice(change: Value) -> (Option<crate::model::EndpointSlice>, Vec<String>) {
    let mut object = json!({
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}],
        "ports": [{"name": "http", "port": 8080}],
    });
    for (name, value) in change.as_object().unwrap() {
        object[name] = value.clone();
    }
    let mut report = Report::new("s");
    let slice = convert::endpoint_slice(&serde_json::from_value(object).unwrap(), &mut report);
    (
        slice,
        report
            .into_problems()
            .iter()
            .map(|one| format!("{}: {}", one.field, one.message))
            .collect(),
    )
}

#[test]
fn an_endpoint_without_conditions_is_ready_and_only_its_first_address_counts() {
    let (slice, said) = slice(json!({}));
    let slice = slice.unwrap();
    assert!(said.is_empty() && slice.endpoints.len() == 1);
    let endpoint = &slice.endpoints[0];
    assert!(endpoint.ready && endpoint.serving && !endpoint.terminating);
    assert_eq!(
        (endpoint.address.to_string().as_str(), endpoint.node.as_deref()),
        ("10.0.0.1", None)
    );
}

#[test]
fn conditions_hints_and_the_pod_are_kept() {
    let (slice, _) = slice(json!({"endpoints": [{
        "addresses": ["10.0.0.1"], "nodeName": "n", "zone": "z", "hostname": "h",
        "conditions": {"ready": false, "serving": true, "terminating": true},
        "hints": {"forZones": [{"name": "za"}], "forNodes": [{"name": "na"}]},
        "targetRef": {"kind": "Pod", "name": "p"},
    }]}));
    let endpoint = slice.unwrap().endpoints.remove(0);
    assert_eq!((endpoint.ready, endpoint.serving, endpoint.terminating), (false, true, true));
    assert_eq!(
        (endpoint.hint_zones, endpoint.hint_nodes),
        (vec!["za".to_owned()], vec!["na".to_owned()])
    );
    let texts = [endpoint.node, endpoint.zone, endpoint.hostname, endpoint.pod];
    assert_eq!(texts.map(Option::unwrap), ["n", "z", "h", "p"]);
}

#[test]
fn what_a_slice_cannot_mean_is_dropped_alone() {
    let cases = [
        (json!({"endpoints": [{"addresses": []}]}), "endpoints[0].addresses"),
        (json!({"endpoints": [{"addresses": ["fd00::1"]}]}), "endpoints[0].addresses[0]"),
        (json!({"endpoints": [{"addresses": ["127.0.0.1"]}]}), "endpoints[0].addresses[0]"),
        (json!({"ports": [{"name": "x"}]}), "ports[0].port"),
        (json!({"ports": [{"port": 1, "protocol": "x"}]}), "ports[0].protocol"),
    ];
    for (change, field) in cases {
        let (slice, said) = slice(change);
        assert!(
            slice.is_some() && said.len() == 1 && said[0].starts_with(&format!("{field}: ")),
            "{said:?}"
        );
    }
    assert!(slice(json!({"metadata": {"name": "s-1"}})).1[0].starts_with("metadata.labels: "));
    assert!(slice(json!({"addressType": "x"})).1[0].starts_with("addressType: "));
    assert_eq!(slice(json!({"addressType": "FQDN"})), (None, Vec::new()));
}

#[test]
fn a_node_has_labels_and_pod_networks() {
    let object = json!({
        "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}},
        "spec": {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64", "x"]},
    });
    let mut report = Report::new("n");
    let node = convert::node(&serde_json::from_value(object).unwrap(), &mut report).unwrap();
    assert_eq!((node.zone(), node.pod_cidrs.len()), (Some("z"), 2));
    assert_eq!(report.into_problems()[0].field, "spec.podCIDRs[2]");
}
