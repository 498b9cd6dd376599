//! Pods to endpoints.

use super::{derived, service};

const CIDR: &[&str] = &["10.96.0.0/16"];
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: kubia}
spec:
  selector: {app: kubia}
  ports: [{name: http, port: 80, targetPort: http}, {name: admin, port: 81, targetPort: 8081}]
";

/// A Pod of kubia with the container port `http: 8080`.
fn pod(name: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: kubia}}}}\nspec: {{nodeName: n1, containers: [{{name: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\nstatus: {status}\n"
    )
}

#[test]
fn a_pod_counts_by_phase_address_and_ready_condition() {
    let cases = [
        ("{podIP: 10.0.0.1}", "10.0.0.1 http=8080,admin=8081 ready"),
        (
            "{podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: 'True'}]}",
            "10.0.0.1 http=8080,admin=8081 ready",
        ),
        (
            "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}",
            "10.0.0.1 http=8080,admin=8081 unready",
        ),
        (
            "{podIP: 10.0.0.1, conditions: [{type: PodScheduled, status: 'True'}]}",
            "10.0.0.1 http=8080,admin=8081 unready",
        ),
        ("{podIP: 10.0.0.1, phase: Succeeded}", ""),
        ("{podIP: 10.0.0.1, phase: Failed}", ""),
        ("{phase: Pending}", ""),
        ("{podIP: nonsense, phase: Pending}", ""),
    ];
    for (status, expect) in cases {
        let found = derived(&(SERVICE.to_owned() + &pod("a", status)), CIDR);
        assert_eq!(found.endpoints("kubia").join("; "), expect, "{status}");
        assert!(found.problems.is_empty(), "{:?}", found.said());
    }
}

#[test]
fn a_pod_that_is_being_deleted_serves_while_it_terminates() {
    let deleted = |status| {
        pod("a", status)
            .replace("{name: a,", "{name: a, deletionTimestamp: '2026-01-01T00:00:00Z',")
    };
    let found = derived(&(SERVICE.to_owned() + &deleted("{podIP: 10.0.0.1}")), CIDR);
    assert_eq!(found.endpoints("kubia"), ["10.0.0.1 http=8080,admin=8081 terminating, serving"]);
    let unready = deleted("{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}");
    let found = derived(&(SERVICE.to_owned() + &unready), CIDR);
    assert_eq!(found.endpoints("kubia"), ["10.0.0.1 http=8080,admin=8081 terminating"]);
}

#[test]
fn unready_pods_are_ready_if_the_service_publishes_them() {
    let yaml = SERVICE.replace("spec:\n", "spec:\n  publishNotReadyAddresses: true\n")
        + &pod("a", "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}");
    assert_eq!(
        derived(&yaml, CIDR).endpoints("kubia"),
        ["10.0.0.1 http=8080,admin=8081 published, unready"]
    );
}

#[test]
fn a_named_port_may_be_another_number_in_each_pod() {
    let other = pod("b", "{podIP: 10.0.0.2}").replace("8080", "9090");
    let found = derived(&(SERVICE.to_owned() + &pod("a", "{podIP: 10.0.0.1}") + &other), CIDR);
    assert_eq!(found.slices("kubia").len(), 2);
    assert_eq!(
        found.endpoints("kubia"),
        ["10.0.0.1 http=8080,admin=8081 ready", "10.0.0.2 http=9090,admin=8081 ready"]
    );
}

#[test]
fn slices_keep_their_names_while_others_come() {
    let one = SERVICE.to_owned() + &pod("b", "{podIP: 10.0.0.2}");
    let two = one.clone() + &pod("a", "{podIP: 10.0.0.1}").replace("8080", "1");
    let (one, two) = (derived(&one, CIDR), derived(&two, CIDR));
    assert!(two.slices("kubia").contains(&one.slices("kubia")[0]));
}

#[test]
fn a_name_counts_only_with_its_protocol_and_in_sidecars_too() {
    let udp = SERVICE.replace("targetPort: http", "targetPort: http, protocol: UDP");
    let found = derived(&(udp + &pod("a", "{podIP: 10.0.0.1}")), CIDR);
    assert_eq!(found.endpoints("kubia"), ["10.0.0.1 admin=8081 ready"]);
    assert!(
        found.said()[0].ends_with(
            "spec.ports[0].targetPort: no selected Pod has a container port named http with UDP"
        ),
        "{:?}",
        found.said()
    );
    let sidecar = pod("a", "{podIP: 10.0.0.1}").replace(
        "containers: [{name: c,",
        "containers: [{name: x}], initContainers: [{name: c, restartPolicy: Always,",
    );
    let found = derived(&(SERVICE.to_owned() + &sidecar), CIDR);
    assert_eq!(found.endpoints("kubia"), ["10.0.0.1 http=8080,admin=8081 ready"]);
}

#[test]
fn each_family_of_the_service_has_its_slices() {
    let both = pod("a", "{podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}");
    let found = derived(&(SERVICE.to_owned() + &both), CIDR);
    assert_eq!(found.endpoints("kubia"), ["10.0.0.1 http=8080,admin=8081 ready"]);
    let dual = SERVICE.replace("spec:\n", "spec:\n  ipFamilyPolicy: PreferDualStack\n");
    let found = derived(&(dual + &both), &["10.96.0.0/16", "fd00:96::/112"]);
    assert_eq!(found.slices("kubia").len(), 2);
    let headless = SERVICE.replace("spec:\n", "spec:\n  clusterIP: None\n");
    assert_eq!(
        derived(&(headless + &both), &[]).slices("kubia").len(),
        2,
        "no CIDR, no default family"
    );
}

#[test]
fn every_label_must_match_and_the_namespace_too() {
    let pods = pod("a", "{podIP: 10.0.0.1}")
        + &pod("b", "{podIP: 10.0.0.2}").replace("{name: b,", "{name: b, namespace: other,")
        + &pod("c", "{podIP: 10.0.0.3}").replace("app: kubia", "app: bar, x: z")
        + &pod("d", "{podIP: 10.0.0.4}").replace("app: kubia", "app: kubia, x: z");
    let addresses = |yaml: String| -> Vec<String> {
        derived(&yaml, CIDR)
            .endpoints("kubia")
            .iter()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(addresses(SERVICE.to_owned() + &pods), ["10.0.0.1", "10.0.0.4"]);
    let strict = SERVICE.replace("{app: kubia}", "{app: kubia, x: z}");
    assert_eq!(addresses(strict + &pods), ["10.0.0.4"]);
}

#[test]
fn node_zone_hostname_and_pod_are_kept() {
    let node = "---\napiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}}\n";
    let pod = pod("a", "{podIP: 10.0.0.1}")
        .replace("nodeName: n1", "nodeName: n1, hostname: web-0, subdomain: kubia");
    let found = derived(&(SERVICE.to_owned() + node + &pod), CIDR);
    let endpoint = &found.slices("kubia")[0].endpoints[0];
    let texts = [&endpoint.node, &endpoint.zone, &endpoint.hostname, &endpoint.pod];
    assert_eq!(texts.map(|text| text.as_deref().unwrap()), ["n1", "z1", "web-0", "a"]);
    assert_eq!(found.snapshot.node.name, "node-a", "n1 is another node");
}

#[test]
fn a_hostname_below_another_service_is_not_this_ones() {
    let pod =
        pod("a", "{podIP: 10.0.0.1}").replace("nodeName: n1", "hostname: web-0, subdomain: other");
    let found = derived(&(SERVICE.to_owned() + &pod), CIDR);
    assert_eq!(found.slices("kubia")[0].endpoints[0].hostname, None);
}

#[test]
fn a_selected_pod_that_nobody_gave_an_address_is_named() {
    let found = derived(&(SERVICE.to_owned() + &pod("a", "{}")), CIDR);
    assert!(found.said()[0].ends_with(
        "spec.selector: selects Pod a, which has no usable status.podIP and is left out"
    ));
}

#[test]
fn an_external_name_with_a_selector_selects_nothing() {
    let yaml = service("kubia", "type: ExternalName, externalName: a.b, selector: {app: kubia}");
    assert!(derived(&(yaml + &pod("a", "{podIP: 10.0.0.1}")), CIDR).slices("kubia").is_empty());
}

#[test]
fn the_own_node_is_the_object_of_that_name() {
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-a, labels: {topology.kubernetes.io/zone: z1}}\nspec: {podCIDRs: [10.0.0.0/24]}\n";
    let found = derived(node, CIDR);
    assert_eq!(found.snapshot.node.zone(), Some("z1"));
    assert_eq!(found.snapshot.node.pod_cidrs.len(), 1);
}
