//! One object to one value: defaults, and fields that cannot be used.

use crate::model::{AffinityScope, Algorithm, ServiceType, TargetPort, TrafficPolicy};
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
        (json!({"name": "b", "port": 1, "protocol": "ICMP"}), "spec.ports[0].protocol"),
        (json!({"name": "b\u{1b}[2J", "port": 1}), "spec.ports[0].name"),
    ];
    for (bad, field) in cases {
        let good = json!({"name": "good", "port": 443, "targetPort": "https", "protocol": "UDP"});
        let service = check(json!({"ports": [bad.clone(), good]}), field, "");
        assert_eq!(service.ports.len(), 1, "{bad}");
        assert_eq!(service.ports[0].name, "good");
    }
}

/// What the API server refuses and kube-proxy serves.
#[test]
fn an_odd_port_is_served_as_written_with_a_sentence() {
    let long = "x".repeat(100);
    let cases = [
        (json!({"name": "B!", "port": 1}), "spec.ports[0].name"),
        (json!({"name": long, "port": 1}), "spec.ports[0].name"),
        (json!({"port": 1}), "spec.ports[0].name"),
        (json!({"name": "b", "port": 1, "targetPort": 70000}), "spec.ports[0].targetPort"),
        (json!({"name": "b", "port": 1, "targetPort": "8080"}), "spec.ports[0].targetPort"),
        (json!({"name": "b", "port": 1, "nodePort": 30001}), "spec.ports[0].nodePort"),
    ];
    for (odd, field) in cases {
        let good = json!({"name": "good", "port": 443, "targetPort": "https", "protocol": "UDP"});
        let service =
            check(json!({"ports": [odd.clone(), good]}), field, "an API server would refuse it");
        assert_eq!(service.ports.len(), 2, "{odd}");
        assert_eq!(service.ports[0].name, odd["name"].as_str().unwrap_or_default());
        assert_eq!(service.ports[0].node_port.is_some(), odd.get("nodePort").is_some());
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
fn ports_are_told_by_name_and_protocol_and_the_later_one_counts() {
    let ports = json!([
        {"name": "a", "port": 53}, {"name": "a", "port": 53, "protocol": "UDP"},
        {"name": "a", "port": 54}, {"name": "b", "port": 54}, {"name": "c", "port": 55},
    ]);
    let spec = json!({"ports": ports});
    let found: Vec<String> = of_spec(spec.clone())
        .ports
        .iter()
        .map(|port| format!("{} {}/{}", port.name, port.port, port.protocol.name()))
        .collect();
    assert_eq!(found, ["a 53/UDP", "a 54/TCP", "c 55/TCP"]);
    let expect = [
        "spec.ports[2].name: takes the place of an earlier port, 53/TCP",
        "spec.ports[3].port: 54/TCP is an earlier port; this one is ignored",
    ];
    assert_eq!(problems(spec), expect);
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
fn cluster_ips_follow_the_families_that_are_named() {
    // `clusterIPs`, `ipFamilies`: the addresses that count, and the field of the problem.
    let (v4, v6) = ("10.0.0.1", "fd00::1");
    let cases = [
        (json!([v4, v6]), json!(["IPv4", "IPv6"]), vec![v4, v6], ""),
        (json!([v6, v4]), json!(["IPv4", "IPv6"]), vec![v6, v4], "spec.clusterIPs"),
        (json!([v4, v6]), json!([]), vec![v4, v6], ""),
        (json!([v4, v6]), json!(["IPv9"]), vec![v4, v6], ""),
        (json!([v4, v6]), json!(["IPv4"]), vec![v4], "spec.clusterIPs[1]"),
        (json!([v4]), json!(["IPv6"]), vec![], "spec.clusterIPs[0]"),
        (json!(["0.0.0.0", v6]), json!([]), vec![v6], "spec.clusterIPs[0]"),
    ];
    for (ips, families, expect, field) in cases {
        let spec = json!({"ports": [{"port": 80}], "clusterIPs": ips, "ipFamilies": families});
        let service = of_spec(spec.clone());
        let found: Vec<String> = service.cluster_ips.iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{ips} {families}");
        let said = problems(spec);
        let fields: Vec<_> = said.iter().map(|said| said.split(": ").next().unwrap()).collect();
        assert_eq!(fields.join(" "), field, "{ips} {families}");
    }
}

#[test]
fn external_ips_are_any_but_the_unspecified_address() {
    let odd = ["127.0.0.1", "169.254.1.1", "224.0.0.1", "::1", "fe80::1"];
    let list = [&["1.2.3.4", "x", "0.0.0.0", "::"][..], &odd[..], &["2001:db8::1", "1.2.3.4"][..]];
    let spec = json!({"ports": [{"port": 80}], "externalIPs": list.concat()});
    let found = of_spec(spec.clone()).external_ips;
    let expect = [&["1.2.3.4"][..], &odd[..], &["2001:db8::1"][..]].concat();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expect);
    let said = problems(spec);
    let about = |index: usize| {
        let mut own = said.iter().filter(move |said| said.contains(&format!("[{index}]: ")));
        own.next().cloned().unwrap_or_default()
    };
    assert_eq!(said.len(), 8);
    assert!((1..4).all(|index| about(index).ends_with("is ignored")), "{said:?}");
    assert!((4..9).all(|index| about(index).ends_with("it is served as written")), "{said:?}");
}

#[test]
fn load_balancer_addresses_count_whatever_the_type() {
    for kind in ["ClusterIP", "NodePort"] {
        let (service, said) = converted(json!({
            "metadata": {"name": "s"},
            "spec": {"type": kind, "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}},
        }));
        assert_eq!(service.load_balancer_ips.len(), 1);
        let expect = "status.loadBalancer.ingress[0]: needs the type LoadBalancer: an API server \
                      would refuse it; it is served as written";
        assert_eq!(said, [expect]);
    }
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
    let unusable: Vec<_> = service
        .unusable
        .iter()
        .map(|one| format!("{} {}: {}", one.field, one.text, one.why.sentence()))
        .collect();
    let expect = [
        "status.loadBalancer.ingress[2] 3.3.3.3: ipMode is Proxy: the load balancer ends \
         connections itself",
        "status.loadBalancer.ingress[3] x: a host name is no address that packets are aimed at",
        "status.loadBalancer.ingress[4].ip bad: \"bad\" is not an IP address and is ignored",
        "status.loadBalancer.ingress[5].ipMode 4.4.4.4: \"Magic\" is not VIP or Proxy; the address \
         is not served",
    ];
    assert_eq!(unusable, expect);
}

#[test]
fn source_ranges_that_cannot_be_read_never_open_the_door() {
    // Ranges, and the load-balancer addresses that are served with them.
    let (v4, v6) = ("1.1.1.1", "fd00::1");
    let cases = [
        (json!([]), vec![v4, v6]),
        (json!([" 10.0.0.0/8 "]), vec![v4, v6]),
        (json!(["10.0.0.0/8", "x"]), vec![v4]),
        (json!(["fd00::/64", "10.0.0.1"]), vec![v6]),
        (json!(["10.0.0.0/8", "fd00::/64", "x"]), vec![v4, v6]),
        (json!(["10.0.0.1"]), vec![]),
    ];
    for (ranges, expect) in cases {
        let (service, said) = converted(json!({
            "metadata": {"name": "s"},
            "spec": {
                "type": "LoadBalancer", "ports": [{"port": 80}], "loadBalancerSourceRanges": ranges,
            },
            "status": {"loadBalancer": {"ingress": [{"ip": v4}, {"ip": v6}]}},
        }));
        let found: Vec<String> =
            service.load_balancer_ips.iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{ranges}");
        let closed =
            said.iter().filter(|said| said.contains("loadBalancerSourceRanges can be read"));
        assert_eq!(closed.count(), 2 - expect.len(), "{said:?}");
    }
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
fn the_scope_of_affinity_is_an_annotation() {
    let with = |value: &str, affinity: &str| {
        converted(json!({
            "metadata": {"name": "s", "annotations": {"service.lb/affinity-scope": value}},
            "spec": {"sessionAffinity": affinity, "ports": [{"port": 80}]},
        }))
    };
    let (service, said) = with("service", "ClientIP");
    assert_eq!((service.affinity_scope, said.len()), (AffinityScope::Service, 0));
    assert_eq!(with("port", "ClientIP").0.affinity_scope, AffinityScope::Port);
    assert!(with("node", "ClientIP").1[0].contains("taken as port"));
    assert!(with("service", "None").1[0].contains("means nothing without sessionAffinity"));
}

#[test]
fn a_service_of_another_proxy_is_kept_without_a_word() {
    let labels = json!({"service.kubernetes.io/service-proxy-name": "x"});
    let object = json!({"metadata": {"name": "s", "labels": labels}, "spec": {"type": "Magic"}});
    let (service, said) = converted(object);
    assert_eq!((service.other_proxy.as_deref(), said.len()), (Some("x"), 0));
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
fn the_time_of_a_trigger_is_read_if_it_can_be() {
    let of = |time: &str, kind: &str| {
        let annotations = json!({"endpoints.kubernetes.io/last-change-trigger-time": time});
        let metadata = json!({"name": "s-1", "labels": {"kubernetes.io/service-name": "s"},
            "annotations": annotations});
        let (slice, said) = slice(json!({"metadata": metadata, "addressType": kind,
            "endpoints": []}));
        assert_eq!(said, [""; 0]);
        slice.unwrap().trigger.map(|trigger| (trigger.at_ms, trigger.ipv6))
    };
    assert_eq!(of("1970-01-02T00:00:00Z", "IPv4"), Some((86_400_000, false)));
    assert_eq!(of("1970-01-02T02:00:00.123456789+02:00", "IPv6"), Some((86_400_123, true)));
    assert_eq!(of("yesterday", "IPv4"), None);
    assert_eq!(slice(json!({})).0.unwrap().trigger, None);
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
    let dropped = slice(json!({"endpoints": [{"addresses": ["x"]}]})).0.unwrap().unusable;
    assert_eq!((dropped.len(), dropped[0].text.as_str()), (1, "x"));
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
