//! `ClusterIP`s.

use super::{derived, derived_with, service};
use crate::source::controllers::Memory;
use std::collections::BTreeSet;

const V4: &str = "10.96.0.0/16";
const V6: &str = "fd00:10:96::/112";

fn families(ips: &[String]) -> String {
    ips.iter().map(|ip| if ip.contains(':') { '6' } else { '4' }).collect()
}

/// The families that a Service with `spec` gets, and the field of its problem if it has one.
fn check(spec: &str, cidrs: &[&str], expect: &str, problem: &str) {
    let found = derived(&service("a", spec), cidrs);
    let fields: Vec<_> = found.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        (families(&found.ips("a")).as_str(), fields.join(" ").as_str()),
        (expect, problem),
        "{spec} {cidrs:?}"
    );
}

#[test]
fn families_follow_policy_and_service_cidrs() {
    let (both, v4) = (&[V4, V6][..], &[V4][..]);
    check("", both, "4", "");
    check("", &[V6, V4], "6", "");
    check("ipFamilies: [IPv6]", both, "6", "");
    check("ipFamilies: [IPv6]", v4, "", "spec.ipFamilies");
    check("ipFamilyPolicy: SingleStack", both, "4", "");
    check("ipFamilyPolicy: PreferDualStack", both, "46", "");
    check("ipFamilyPolicy: PreferDualStack", v4, "4", "");
    check("ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6]", both, "64", "");
    check("ipFamilyPolicy: RequireDualStack", both, "46", "");
    check("ipFamilyPolicy: RequireDualStack", v4, "4", "spec.ipFamilyPolicy");
    check("ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]", both, "64", "");
    check("ipFamilies: [IPv6, IPv4]", both, "64", "");
    check("ipFamilyPolicy: SingleStack, ipFamilies: [IPv6, IPv4]", both, "6", "");
    check("ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6]", v4, "4", "spec.ipFamilies");
    check("ipFamilies: [IPv5]", both, "4", "spec.ipFamilies[0]");
    check("ipFamilyPolicy: Both", both, "4", "spec.ipFamilyPolicy");
    check("clusterIP: fd00::7", v4, "6", "");
    check("clusterIP: fd00::7, ipFamilyPolicy: PreferDualStack", both, "64", "");
    check("clusterIPs: [fd00::7, 10.96.0.7]", both, "64", "");
    check("clusterIP: None", both, "", "");
    check("type: ExternalName, externalName: a.b", both, "", "");
    check("", &[], "", "spec.clusterIP");
    check("clusterIP: None", &[], "", "");
}

#[test]
fn an_address_lies_inside_its_network_but_is_not_its_first_or_broadcast() {
    let yaml: String = (0..20).map(|n| service(&format!("s{n}"), "")).collect();
    let found = derived(&yaml, &["10.96.0.0/29"]);
    let ips: BTreeSet<_> =
        found.snapshot.services.values().flat_map(|service| service.cluster_ips.clone()).collect();
    let expect: BTreeSet<_> = (1..7).map(|n| format!("10.96.0.{n}").parse().unwrap()).collect();
    assert_eq!(ips, expect);
    assert_eq!(found.problems.len(), 14);
    assert!(
        found.said()[0].contains("no IPv4 address is free in the service CIDRs"),
        "{:?}",
        found.said()
    );
}

#[test]
fn the_smallest_networks_can_be_used() {
    assert_eq!(derived(&service("a", ""), &["10.0.0.1/32"]).ips("a"), ["10.0.0.1"]);
    assert_eq!(derived(&service("a", ""), &["fd00::1/128"]).ips("a"), ["fd00::1"]);
    assert_eq!(derived(&service("a", ""), &["::/0"]).ips("a").len(), 1);
    assert_eq!(derived(&service("a", ""), &["0.0.0.0/0"]).ips("a").len(), 1);
}

#[test]
fn a_full_network_is_followed_by_the_next_of_its_family() {
    let yaml = service("a", "") + &service("b", "");
    let found = derived(&yaml, &["10.0.0.1/32", "10.0.1.1/32"]);
    assert_eq!(found.ips("a")[0].as_str().min(found.ips("b")[0].as_str()), "10.0.0.1");
    assert!(found.problems.is_empty());
}

#[test]
fn explicit_addresses_are_kept_wherever_they_lie_and_come_first() {
    let automatic = derived(&service("b", ""), &[V4]).ips("b").remove(0);
    let yaml = service("b", "")
        + &service("z", &format!("clusterIP: {automatic}"))
        + &service("x", "clusterIP: 1.2.3.4");
    let found = derived(&yaml, &[V4]);
    assert_eq!(found.ips("z").first(), Some(&automatic));
    assert_eq!(found.ips("x"), ["1.2.3.4"]);
    assert!(found.ips("b").len() == 1 && found.ips("b") != [automatic]);
}

#[test]
fn of_two_services_with_one_address_the_first_by_name_keeps_it() {
    let found = derived(
        &(service("b", "clusterIP: 10.96.0.7") + &service("a", "clusterIP: 10.96.0.7")),
        &[V4],
    );
    assert_eq!((found.ips("a").len(), found.ips("b").len()), (1, 0));
    assert_eq!(
        found.said(),
        [
            "f.yaml document 1 (Service default/b): spec.clusterIP: 10.96.0.7 belongs to Service default/a already, so it gets none"
        ]
    );
}

#[test]
fn the_same_objects_get_the_same_addresses_without_any_memory() {
    let yaml: String = (0..50).map(|n| service(&format!("s{n}"), "")).collect();
    assert_eq!(derived(&yaml, &[V4, V6]).snapshot, derived(&yaml, &[V4, V6]).snapshot);
    let alone = derived(&service("s7", ""), &[V4]).ips("s7");
    assert_eq!(
        derived(&yaml, &[V4]).ips("s7"),
        alone,
        "others do not matter while nothing collides"
    );
}

#[test]
fn a_service_keeps_its_address_whoever_comes() {
    let mut memory = Memory::default();
    let cidr = &["10.96.0.0/28"];
    let late = derived_with(&service("z", ""), cidr, &mut memory).ips("z");
    let yaml: String = (0..13).map(|n| service(&format!("a{n}"), "")).collect();
    let found = derived_with(&(yaml + &service("z", "")), cidr, &mut memory);
    assert_eq!(found.ips("z"), late);
    assert!(found.problems.is_empty());
}

#[test]
fn a_newcomer_never_takes_an_address_that_is_in_use() {
    for spec in ["clusterIP: 10.96.0.7", ""] {
        let mut memory = Memory::default();
        let old = service("z", spec);
        let ip = derived_with(&old, &[V4], &mut memory).ips("z").remove(0);
        let new = service("a", &format!("clusterIP: {ip}"));
        let found = derived_with(&(new + &old), &[V4], &mut memory);
        assert_eq!((found.ips("a").len(), found.ips("z")), (0, vec![ip]), "{spec}");
        assert!(found.said()[0].contains("belongs to Service default/z already"));
    }
}

#[test]
fn an_address_that_its_holder_gives_up_can_be_had() {
    let mut memory = Memory::default();
    derived_with(&service("z", "clusterIP: 10.96.0.7"), &[V4], &mut memory);
    let yaml = service("a", "clusterIP: 10.96.0.7") + &service("z", "clusterIP: 10.96.0.8");
    let found = derived_with(&yaml, &[V4], &mut memory);
    assert_eq!(
        (found.ips("a"), found.ips("z")),
        (vec!["10.96.0.7".into()], vec!["10.96.0.8".into()])
    );
}

#[test]
fn an_explicit_address_stays_when_it_is_no_longer_written() {
    let mut memory = Memory::default();
    derived_with(&service("a", "clusterIP: 10.96.7.7"), &[V4], &mut memory);
    assert_eq!(derived_with(&service("a", ""), &[V4], &mut memory).ips("a"), ["10.96.7.7"]);
}

#[test]
fn a_remembered_address_outside_the_service_cidrs_is_given_up() {
    let mut memory = Memory::default();
    derived_with(&service("a", ""), &[V4], &mut memory);
    assert!(
        derived_with(&service("a", ""), &["10.97.0.0/16"], &mut memory).ips("a")[0]
            .starts_with("10.97.")
    );
}

#[test]
fn nobody_gets_the_address_of_a_service_that_cannot_be_read_just_now() {
    let mut memory = Memory::default();
    let cidr = &["10.96.0.0/30"];
    derived_with(&service("a", ""), cidr, &mut memory);
    let others = derived_with(&(service("b", "") + &service("c", "")), cidr, &mut memory);
    assert_eq!(others.problems.len(), 1, "two addresses, one of them is a's");
}
