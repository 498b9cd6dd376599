//! Which endpoints count (docs/services.md).

use super::{node, slice, target};
use crate::compile::endpoint::{self, BackendKey, Endpoints, Uses};
use crate::compile::reason::HintUse;
use crate::compile::{Family, NodeView};
use crate::model::{EndpointSlice, Protocol};
use lb_common::layout::backend::BackendValue;

fn sorted(slices: &[EndpointSlice], node: &NodeView) -> Endpoints {
    let both = Uses { cluster: true, local: true };
    endpoint::of(&super::port("http", 80), slices.iter(), Family::V4, node, both)
}

/// The last byte and the port of each address.
fn text(keys: &[BackendKey]) -> String {
    let one = |key: &BackendKey| format!("{}:{}", key.addr.to_ip(), key.port);
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// `expect`: the sets of the cluster and of this node, last bytes only.
#[track_caller]
fn check(endpoints: &[&str], expect: (&[u8], &[u8])) {
    let found = sorted(&[slice("a", endpoints)], &node());
    let last = |keys: &[BackendKey]| keys.iter().map(|key| key.addr.low4()[3]).collect::<Vec<_>>();
    assert_eq!((last(&found.cluster), last(&found.local)), (expect.0.to_vec(), expect.1.to_vec()));
}

#[test]
fn ready_endpoints_are_used_and_those_of_this_node_are_local() {
    check(&["10.0.0.1", "10.0.0.2 here", "10.0.0.3 nowhere"], (&[1, 2, 3], &[2]));
}

#[test]
fn an_endpoint_that_is_merely_not_ready_is_never_used() {
    check(&["10.0.0.1 unready", "10.0.0.2 here unready", "10.0.0.3 gone"], (&[], &[]));
}

#[test]
fn terminating_endpoints_are_used_only_while_nobody_is_ready() {
    check(&["10.0.0.1 terminating", "10.0.0.2"], (&[2], &[]));
    check(&["10.0.0.1 terminating", "10.0.0.2 gone", "10.0.0.3 unready"], (&[1], &[]));
}

#[test]
fn this_node_falls_back_by_itself() {
    check(&["10.0.0.1 here terminating", "10.0.0.2"], (&[2], &[1]));
    check(&["10.0.0.1 here terminating", "10.0.0.2 here"], (&[2], &[2]));
}

#[test]
fn a_published_endpoint_is_ready_although_it_terminates() {
    check(&["10.0.0.1 published", "10.0.0.2 terminating"], (&[1], &[]));
}

#[test]
fn zone_hints_narrow_the_cluster_set_only() {
    check(&["10.0.0.1 zone=a", "10.0.0.2 here zone=b"], (&[1], &[2]));
}

#[test]
fn node_hints_come_before_zone_hints() {
    check(&["10.0.0.1 zone=a node=there", "10.0.0.2 zone=b node=here"], (&[2], &[]));
    check(&["10.0.0.1 zone=a node=there", "10.0.0.2 zone=b node=elsewhere"], (&[1], &[]));
    check(&["10.0.0.1 zone=a", "10.0.0.2 zone=b node=here"], (&[1], &[]));
}

#[test]
fn a_ready_endpoint_without_hints_turns_them_off() {
    check(&["10.0.0.1 zone=a", "10.0.0.2"], (&[1, 2], &[]));
}

#[test]
fn an_endpoint_that_is_not_ready_has_no_say_in_hints() {
    check(&["10.0.0.1 zone=a", "10.0.0.2 zone=b", "10.0.0.3 unready"], (&[1], &[]));
    check(&["10.0.0.1 zone=a unready", "10.0.0.2 zone=b"], (&[2], &[]));
}

#[test]
fn hints_that_nobody_here_fits_are_ignored() {
    check(&["10.0.0.1 zone=b", "10.0.0.2 zone=c"], (&[1, 2], &[]));
}

#[test]
fn hints_do_not_narrow_the_terminating_fallback() {
    check(&["10.0.0.1 terminating zone=a", "10.0.0.2 terminating zone=b"], (&[1, 2], &[]));
}

#[test]
fn a_node_without_a_zone_follows_no_zone_hint() {
    let lost = NodeView { zone: None, ..node() };
    let found = sorted(&[slice("a", &["10.0.0.1 zone=a", "10.0.0.2 zone="])], &lost);
    assert_eq!(text(&found.cluster), "10.0.0.1:8080 10.0.0.2:8080");
}

/// `expect`: what hints for nodes do, and hints for zones.
#[track_caller]
fn hints(endpoints: &[&str], expect: (HintUse, HintUse)) {
    let found = sorted(&[slice("a", endpoints)], &node()).hints;
    assert_eq!((found.node, found.zone), expect);
}

#[test]
fn it_is_known_what_hints_do_and_why() {
    use HintUse::{Absent, Followed, Missing, NobodyReady, NoneFits, NotAsked};
    let first = || "10.0.0.1:8080".parse().unwrap();
    hints(&["10.0.0.1 zone=a"], (Absent, Followed));
    hints(&["10.0.0.1 node=here"], (Followed, NotAsked));
    hints(&["10.0.0.1 node=there zone=b"], (NoneFits, NoneFits));
    hints(&["10.0.0.1", "10.0.0.2 node=here zone=a"], (Missing(first()), Missing(first())));
    hints(&["10.0.0.1 unready zone=a"], (NobodyReady, NobodyReady));
    hints(&[], (NobodyReady, NobodyReady));
}

#[test]
fn a_set_that_no_policy_asks_for_is_empty() {
    let slices = [slice("a", &["10.0.0.1 here"])];
    for (cluster, local) in [(true, false), (false, true)] {
        let uses = Uses { cluster, local };
        let port = super::port("http", 80);
        let found = endpoint::of(&port, slices.iter(), Family::V4, &node(), uses);
        let sizes = (found.cluster.len(), found.local.len());
        assert_eq!(sizes, (usize::from(cluster), usize::from(local)));
        assert!(found.any_usable);
        let flags = found.backends.values().next().unwrap().flags;
        let within = |bit| flags & bit != 0;
        assert_eq!(within(BackendValue::IN_CLUSTER_SET), cluster);
        assert_eq!(within(BackendValue::IN_LOCAL_SET), local);
    }
}

#[test]
fn an_endpoint_joins_by_name_and_protocol_with_the_number_of_its_slice() {
    let mut second = slice("b", &["10.0.0.2"]);
    let udp = crate::model::EndpointPort { protocol: Protocol::Udp, ..target("http", 53) };
    second.ports = vec![target("http", 9090), target("https", 8443), udp];
    let found = sorted(&[slice("a", &["10.0.0.1"]), second], &node());
    assert_eq!(text(&found.cluster), "10.0.0.1:8080 10.0.0.2:9090");
}

#[test]
fn endpoints_of_the_other_family_are_not_seen() {
    let found = sorted(&[slice("a", &["10.0.0.1"]), slice("b", &["fd00::1"])], &node());
    assert_eq!(text(&found.cluster), "10.0.0.1:8080");
}

#[test]
fn the_same_endpoint_twice_is_one_and_the_one_that_does_not_terminate_wins() {
    let living = slice("a", &["10.0.0.1"]);
    let dying = slice("b", &["10.0.0.1 terminating"]);
    for slices in [[living.clone(), dying.clone()], [dying, living]] {
        let found = sorted(&slices, &node());
        assert_eq!(text(&found.cluster), "10.0.0.1:8080");
        assert_eq!(found.backends.len(), 1);
        let flags = found.backends.values().next().unwrap().flags;
        assert_eq!(flags & BackendValue::TERMINATING, 0);
    }
}

#[test]
fn the_order_of_slices_does_not_matter() {
    let slices = [
        slice("a", &["10.0.0.1 unready", "10.0.0.2"]),
        slice("b", &["10.0.0.1 here", "10.0.0.2 here"]),
    ];
    let turned: Vec<_> = slices.iter().rev().cloned().collect();
    assert_eq!(sorted(&slices, &node()), sorted(&turned, &node()));
}

#[test]
fn flags_tell_what_an_endpoint_is_and_which_sets_it_is_in() {
    let found =
        sorted(&[slice("a", &["10.0.0.1 here", "10.0.0.2 terminating", "10.0.0.3 gone"])], &node());
    let flags: Vec<u8> = found.backends.values().map(|backend| backend.flags).collect();
    let sets = BackendValue::IN_CLUSTER_SET | BackendValue::IN_LOCAL_SET;
    let serving = BackendValue::SERVING;
    let expect = [
        BackendValue::LOCAL | sets | BackendValue::READY | serving,
        serving | BackendValue::TERMINATING,
        BackendValue::TERMINATING,
    ];
    assert_eq!(flags, expect);
}
