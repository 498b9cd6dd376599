//! Endpoints and slices written by hand.

use super::{derived, service};

const CIDR: &[&str] = &["10.96.0.0/16"];
const ENDPOINTS: &str = "---
apiVersion: v1
kind: Endpoints
metadata: {name: external-service}
subsets:
- addresses: [{ip: 11.11.11.11, nodeName: n1}, {ip: 22.22.22.22}, {ip: 'fd00::1'}]
  notReadyAddresses: [{ip: 33.33.33.33}]
  ports: [{port: 80}]
- addresses: [{ip: 44.44.44.44}]
  ports: [{port: 81}]
";

#[test]
fn endpoints_become_slices_by_subset_and_family() {
    let found = derived(&(service("external-service", "") + ENDPOINTS), CIDR);
    let names: Vec<_> =
        found.slices("external-service").iter().map(|slice| slice.name.to_string()).collect();
    assert_eq!(
        names,
        ["default/external-service-1", "default/external-service-2", "default/external-service-3"]
    );
    assert_eq!(
        found.endpoints("external-service"),
        [
            "11.11.11.11 =80 ready",
            "22.22.22.22 =80 ready",
            "33.33.33.33 =80 unready",
            "44.44.44.44 =81 ready",
            "fd00::1 =80 ready"
        ]
    );
    assert_eq!(found.slices("external-service")[0].endpoints[0].node.as_deref(), Some("n1"));
    assert!(found.problems.is_empty());
}

#[test]
fn endpoints_without_a_service_wait_for_it() {
    let found = derived(ENDPOINTS, CIDR);
    assert!(found.snapshot.slices.is_empty());
    assert_eq!(
        found.said(),
        [
            "f.yaml document 1 (Endpoints default/external-service): there is no Service default/external-service; the addresses wait for it"
        ]
    );
}

#[test]
fn endpoints_of_a_service_with_a_selector_are_ignored_and_named() {
    let found = derived(&(service("external-service", "selector: {a: b}") + ENDPOINTS), CIDR);
    assert!(found.snapshot.slices.is_empty());
    assert!(found.said()[0].contains("has a selector"));
}

#[test]
fn endpoints_that_are_no_addresses_are_left_alone() {
    for metadata in [
        "{name: external-service, labels: {endpointslice.kubernetes.io/skip-mirror: 'true'}}",
        "{name: external-service, annotations: {control-plane.alpha.kubernetes.io/leader: x}}",
    ] {
        let endpoints = ENDPOINTS.replace("{name: external-service}", metadata);
        let found = derived(&(service("external-service", "") + &endpoints), CIDR);
        assert!(found.snapshot.slices.is_empty() && found.problems.is_empty());
    }
}

#[test]
fn an_address_or_port_that_cannot_be_used_is_dropped_alone() {
    let endpoints = ENDPOINTS
        .replace("22.22.22.22", "22.22.22.222222")
        .replace("{port: 80}", "{port: 80}, {name: x, port: 0}");
    let found = derived(&(service("external-service", "") + &endpoints), CIDR);
    assert_eq!(found.endpoints("external-service").len(), 4);
    let fields: Vec<_> = found.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["subsets[0].ports[1].port", "subsets[0].addresses[1].ip"]);
}

const SLICE: &str = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: external-service-1, labels: {kubernetes.io/service-name: external-service}}
addressType: IPv4
endpoints: [{addresses: [55.55.55.55]}]
ports: [{name: '', port: 80}]
";

#[test]
fn slices_written_by_hand_are_taken_as_they_are_and_keep_their_names() {
    let found = derived(&(service("external-service", "") + ENDPOINTS + SLICE), CIDR);
    assert_eq!(found.slices("external-service").len(), 4);
    assert_eq!(found.slices("external-service")[0].endpoints[0].address.to_string(), "55.55.55.55");
    assert_eq!(found.slices("external-service")[1].name.name, "external-service-1-2");
}

#[test]
fn slices_of_a_service_that_is_not_there_yet_are_known() {
    assert_eq!(derived(SLICE, CIDR).endpoints("external-service"), ["55.55.55.55 =80 ready"]);
}

#[test]
fn a_slice_without_a_service_is_named() {
    let slice = SLICE.replace(", labels: {kubernetes.io/service-name: external-service}", "");
    assert!(
        derived(&slice, CIDR).said()[0]
            .contains("metadata.labels: kubernetes.io/service-name is missing")
    );
}
