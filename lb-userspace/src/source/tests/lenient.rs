//! Fields of a wrong type, range, family or unit: each is named by its path, and the rest of the
//! object goes on.

use super::{Derived, derived};

const CIDRS: &[&str] = &["10.96.0.0/16", "fd00:10:96::/112"];

/// The Service "web", with `metadata` and `spec` in flow style.
fn web(metadata: &str, spec: &str) -> Derived {
    let yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web{metadata}}}\nspec: {{{spec}}}\n"
    );
    derived(&yaml, CIDRS)
}

/// The ports that are served, by number.
fn ports(found: &Derived) -> Vec<u16> {
    found.service("web").ports.iter().map(|port| port.port).collect()
}

/// What is said, without the place of the object.
fn said(found: &Derived) -> Vec<String> {
    found.problems.iter().map(|one| format!("{}: {}", one.field, one.message)).collect()
}

const GOOD: &str = "ports: [{name: http, port: 80}]";

#[test]
fn each_wrong_field_has_its_sentence_and_the_rest_goes_on() {
    let cases = [
        ("type: 7", "spec.type: invalid type: integer `7`, expected a string; it is ignored"),
        (
            "clusterIP: 10",
            "spec.clusterIP: invalid type: integer `10`, expected a string; it is ignored",
        ),
        (
            "externalIPs: [7, 192.0.2.1]",
            "spec.externalIPs[0]: invalid type: integer `7`, expected a string; it is ignored",
        ),
        (
            "externalIPs: 192.0.2.1",
            "spec.externalIPs: invalid type: string \"192.0.2.1\", expected a sequence; it is \
             ignored",
        ),
        (
            "ipFamilies: [4]",
            "spec.ipFamilies[0]: invalid type: integer `4`, expected a string; it is ignored",
        ),
        ("ipFamilies: [IPv5]", "spec.ipFamilies[0]: \"IPv5\" is not IPv4 or IPv6 and is ignored"),
        (
            "sessionAffinity: ClientIP, sessionAffinityConfig: 60",
            "spec.sessionAffinityConfig: invalid type: integer `60`, expected \
             SessionAffinityConfig; it is ignored",
        ),
        (
            "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 1h}}",
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: invalid type: string \"1h\", \
             expected i32; it is ignored",
        ),
        (
            "sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 99999}}",
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 99999 is not within 1 to 86400; \
             taken as 10800",
        ),
        (
            "externalTrafficPolicy: [Local]",
            "spec.externalTrafficPolicy: invalid type: sequence, expected a string; it is ignored",
        ),
        (
            "publishNotReadyAddresses: 1",
            "spec.publishNotReadyAddresses: invalid type: integer `1`, expected a boolean; it is \
             ignored",
        ),
        (
            "healthCheckNodePort: 99999999999",
            "spec.healthCheckNodePort: invalid value: integer `99999999999`, expected i32; it is \
             ignored",
        ),
    ];
    for (field, expect) in cases {
        let found = web("", &format!("{GOOD}, {field}"));
        assert_eq!(said(&found), [expect]);
        assert_eq!(ports(&found), [80], "{field}");
        assert_eq!(found.ips("web").len(), 1, "{field}");
    }
}

#[test]
fn a_port_with_a_wrong_field_is_left_out_alone() {
    let cases = [
        (
            "{name: b, port: eighty}",
            "spec.ports[1].port: invalid type: string \"eighty\", expected i32; it is ignored",
        ),
        (
            "{name: b, port: [80]}",
            "spec.ports[1].port: invalid type: sequence, expected i32; it is ignored",
        ),
        (
            "{name: b, port: 80.5}",
            "spec.ports[1].port: invalid type: floating point `80.5`, expected i32; it is ignored",
        ),
        (
            "eighty",
            "spec.ports[1]: invalid type: string \"eighty\", expected ServicePort; it is ignored",
        ),
        (
            "{name: b, port: 81, protocol: 6}",
            "spec.ports[1].protocol: invalid type: integer `6`, expected a string; it is ignored",
        ),
        (
            "{name: b, port: 0}",
            "spec.ports[1].port: 0 is not a port, expected 1 to 65535; it is ignored",
        ),
    ];
    for (port, expect) in cases {
        let found =
            web("", &format!("ports: [{{name: a, port: 80}}, {port}, {{name: c, port: 82}}]"));
        assert_eq!(ports(&found), [80, 82], "{port}");
        assert_eq!(said(&found), [expect]);
        let unusable = &found.service("web").unusable;
        assert!(expect.ends_with(unusable[0].why.sentence()), "{unusable:?}");
    }
}

#[test]
fn fields_of_a_port_that_it_can_do_without_are_left_out_alone() {
    let spec = "type: NodePort, ports: [{name: a, port: 80, nodePort: x, targetPort: true}]";
    let found = web("", spec);
    assert_eq!(ports(&found), [80]);
    let fields: Vec<_> = found.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["spec.ports[0].nodePort", "spec.ports[0].targetPort"]);
}

#[test]
fn a_number_where_text_is_wanted_never_widens_a_selector() {
    let found = web("", &format!("{GOOD}, selector: {{app: 7, tier: null, more: {{a: b}}}}"));
    let selector = &found.service("web").selector;
    let pairs: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(pairs, ["app=7", "more=", "tier="]);
    let expect = [
        "spec.selector.app: invalid type: integer `7`, expected a string; taken as \"7\"",
        "spec.selector.more: invalid type: map, expected a string; taken as \"\"",
        "spec.selector.tier: invalid type: null, expected a string; taken as \"\"",
    ];
    assert_eq!(said(&found), expect);
}

#[test]
fn a_label_that_is_a_number_keeps_its_meaning() {
    let label = "service.kubernetes.io/service-proxy-name: 7";
    let found = web(&format!(", labels: {{{label}}}"), GOOD);
    assert_eq!(found.service("web").other_proxy.as_deref(), Some("7"));
}

#[test]
fn source_ranges_that_are_no_list_close_the_door() {
    for ranges in ["10.0.0.0/8", "[10]", "{a: b}"] {
        let spec = format!("{GOOD}, type: LoadBalancer, loadBalancerSourceRanges: {ranges}");
        let status = "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}\n";
        let yaml = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{{spec}}}\n{status}"
        );
        let found = derived(&yaml, CIDRS);
        assert!(found.service("web").load_balancer_ips.is_empty(), "{ranges}");
        assert_eq!(found.problems.len(), 2, "{:?}", found.said());
    }
}

#[test]
fn without_its_heart_an_object_is_none() {
    let cases = [
        ("metadata: {name: 17}\nspec: {}", "metadata.name"),
        ("metadata: {name: web, namespace: 17}\nspec: {}", "metadata.namespace"),
        ("metadata: 17\nspec: {}", "metadata"),
        ("metadata: {name: web}\nspec: 17", "spec"),
        ("metadata: {name: web}\nspec: {ports: 80}", "spec.ports"),
        ("metadata: {name: web}\nspec: {selector: app=web}", "spec.selector"),
    ];
    for (text, field) in cases {
        let found = derived(&format!("apiVersion: v1\nkind: Service\n{text}\n"), CIDRS);
        assert!(found.snapshot.services.is_empty(), "{text}");
        assert_eq!(found.problems.len(), 1);
        assert_eq!(found.problems[0].field, field);
    }
}

#[test]
fn endpoints_slices_pods_and_nodes_lose_only_what_is_wrong() {
    let yaml = "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}, 7, {addresses: 10.0.0.2}, {addresses: [10.0.0.3], zone: 7}]
ports: [{name: '', port: http}, {name: '', port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-0}
spec: {containers: [{name: web, env: [{name: A, value: 7}]}], priority: high}
status: {podIP: 10.0.0.4, conditions: [{type: Ready, status: true}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: 7}}
spec: {unschedulable: maybe}
";
    let found = derived(yaml, CIDRS);
    assert_eq!(found.endpoints("web"), ["10.0.0.1 =8080 ready", "10.0.0.3 =8080 ready"]);
    assert_eq!(found.snapshot.node.zone(), Some("7"));
    let fields: Vec<_> = found.problems.iter().map(|problem| problem.field.as_str()).collect();
    let expect = [
        "endpoints[1]",
        "endpoints[2].addresses",
        "endpoints[3].zone",
        "ports[0].port",
        "spec.containers[0].env[0].value",
        "spec.priority",
        "status.conditions[0].status",
        "metadata.labels.topology.kubernetes.io/zone",
        "spec.unschedulable",
    ];
    let mut found: Vec<_> = fields.clone();
    found.sort_unstable();
    let mut wanted = expect.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn an_object_of_nothing_but_mistakes_is_none() {
    let ports: Vec<String> =
        (0..40).map(|number| format!("{{name: p{number}, port: x}}")).collect();
    let found = web("", &format!("ports: [{}]", ports.join(", ")));
    assert!(found.snapshot.services.is_empty());
    assert!(found.problems[0].field.starts_with("spec.ports[3"), "{:?}", found.problems);
}
