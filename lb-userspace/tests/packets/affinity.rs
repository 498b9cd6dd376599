//! Backends of a client that comes back (`sessionAffinity: ClientIP`).

use crate::case::Case;
use crate::rig::{HZ, Rig, each};
use crate::tables::{ELSEWHERE, HERE, SERVICE, leading_to};
use lb_common::layout::affinity::{AffinityKey, AffinityValue, SiblingKey};
use lb_common::layout::backend::BackendValue;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_userspace::reconcile::Edit;
use std::collections::BTreeSet;
use std::net::SocketAddr;

const TIMEOUT_S: u32 = 100;
/// The id under which clients are remembered.
const AFFINITY: u32 = 77;

/// Eight backends, clients remembered.
fn serve_sticky(rig: &mut Rig) {
    rig.serve(8);
    let choice = rig.range(0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    stick(rig, rig.case.vip(), choice);
}

fn stick(rig: &mut Rig, vip: SocketAddr, choice: Choice) {
    let value =
        FrontendValue { affinity: AFFINITY, affinity_timeout_s: TIMEOUT_S, ..leading_to(choice) };
    rig.frontend(vip, value);
}

/// Opens a flow from a port of the pod; gives the number of the backend.
#[track_caller]
fn ask(rig: &mut Rig, port: u16) -> u32 {
    let case = rig.case;
    let chosen = rig.chosen(&case.opening(case.pod(port), case.vip()));
    case.number_of(chosen)
}

/// Backends that the pod gets from 24 other ports.
fn ask_often(rig: &mut Rig) -> BTreeSet<u32> {
    (41_000..41_024).map(|port| ask(rig, port)).collect()
}

/// What is remembered of the pod.
#[track_caller]
fn remembered(rig: &Rig) -> (AffinityKey, AffinityValue) {
    let all = rig.maps.affinities().unwrap();
    assert_eq!(all.len(), 1);
    all[0]
}

/// Lets time pass for the pod.
fn be_silent(rig: &mut Rig, seconds: u32) {
    let (key, value) = remembered(rig);
    let seen = value.seen.wrapping_sub(seconds * HZ);
    rig.maps.put_affinity(key, AffinityValue { seen, ..value }).unwrap();
}

#[test]
fn a_client_is_remembered_with_its_backend() {
    each(|rig| {
        serve_sticky(rig);
        let backend = ask(rig, 20_000);
        let (key, value) = remembered(rig);
        let client = rig.case.pod(0).ip().into();
        assert_eq!(key, AffinityKey { client, affinity: AFFINITY, zero: [0; 4] });
        assert_eq!((value.backend, value.generation), (backend, 1));
    });
}

#[test]
fn a_client_keeps_its_backend_over_source_ports() {
    each(|rig| {
        serve_sticky(rig);
        let backend = ask(rig, 20_000);
        assert_eq!(ask_often(rig), [backend].into());
    });
}

#[test]
fn a_client_keeps_its_backend_over_frontends_of_the_service() {
    each(|rig| {
        serve_sticky(rig);
        let case = rig.case;
        let choice = rig.range(1, &[8, 7, 6, 5, 4, 3, 2, 1]);
        stick(rig, case.other_vip(), choice);
        let backend = ask(rig, 20_000);
        for port in 41_000..41_010 {
            let asked = case.opening(case.pod(port), case.other_vip());
            assert_eq!(case.number_of(rig.chosen(&asked)), backend);
        }
    });
}

#[test]
fn different_clients_spread() {
    each(|rig| {
        serve_sticky(rig);
        let case = rig.case;
        let mut chosen = BTreeSet::new();
        for n in 0..48 {
            let asked = case.opening(case.other_pod(n, 20_000), case.vip());
            chosen.insert(rig.chosen(&asked));
        }
        assert_eq!(chosen.len(), 8);
    });
}

#[test]
fn without_affinity_a_client_spreads_and_is_not_remembered() {
    each(|rig| {
        rig.serve(8);
        assert!(ask_often(rig).len() > 4);
        assert_eq!(rig.maps.affinities().unwrap(), []);
    });
}

#[test]
fn a_client_that_is_silent_within_the_timeout_keeps_its_backend() {
    each(|rig| {
        serve_sticky(rig);
        let backend = ask(rig, 20_000);
        for port in 20_001..20_012 {
            be_silent(rig, TIMEOUT_S - 1);
            assert_eq!(ask(rig, port), backend, "renewed by every connection");
        }
    });
}

#[test]
fn a_client_that_is_silent_for_longer_is_forgotten() {
    each(|rig| {
        serve_sticky(rig);
        let mut chosen = BTreeSet::new();
        for port in 20_000..20_024 {
            chosen.insert(ask(rig, port));
            be_silent(rig, TIMEOUT_S + 1);
        }
        assert!(chosen.len() > 4, "{chosen:?}");
    });
}

#[test]
fn packets_of_a_known_flow_do_not_renew() {
    each(|rig| {
        serve_sticky(rig);
        let case = rig.case;
        ask(rig, 20_000);
        be_silent(rig, 50);
        let before = remembered(rig);
        rig.chosen(&case.later(case.pod(20_000), case.vip()));
        assert_eq!(remembered(rig), before);
    });
}

#[test]
fn a_client_whose_backend_is_gone_gets_another_and_keeps_that() {
    each(|rig| {
        serve_sticky(rig);
        let first = ask(rig, 20_000);
        replace(rig, first);
        let rest: Vec<u32> = (1..=8).filter(|n| *n != first).collect();
        let choice = rig.range(1, &rest);
        stick(rig, rig.case.vip(), choice);
        let second = ask(rig, 40_001);
        assert_ne!(second, first);
        assert_eq!(ask_often(rig), [second].into());
    });
}

/// Gives a backend's cell to another endpoint of the service at the same address.
fn replace(rig: &mut Rig, n: u32) {
    let addr = rig.case.backend(n);
    let value = BackendValue { generation: 2, ..rig.backend_value(addr) };
    rig.edit(Edit::Backend(n, value));
}

#[test]
fn a_cell_that_was_given_to_another_endpoint_is_not_remembered() {
    each(|rig| {
        serve_sticky(rig);
        let first = ask(rig, 20_000);
        replace(rig, first);
        ask(rig, 40_001);
        let (_, value) = remembered(rig);
        assert_eq!(value.generation, if value.backend == first { 2 } else { 1 });
    });
}

#[test]
fn a_cell_that_was_given_to_another_service_is_not_used() {
    each(|rig| {
        serve_sticky(rig);
        let first = ask(rig, 20_000);
        let addr = rig.case.backend(first);
        let value = BackendValue { service: SERVICE + 1, ..rig.backend_value(addr) };
        rig.edit(Edit::Backend(first, value));
        let rest: Vec<u32> = (1..=8).filter(|n| *n != first).collect();
        let choice = rig.range(1, &rest);
        stick(rig, rig.case.vip(), choice);
        assert_ne!(ask(rig, 40_001), first);
    });
}

#[test]
fn a_backend_that_new_connections_may_not_choose_is_left() {
    each(|rig| {
        serve_sticky(rig);
        let first = ask(rig, 20_000);
        let terminating = BackendValue::LOCAL | BackendValue::TERMINATING;
        rig.backend(first, rig.case.backend(first), terminating);
        let rest: Vec<u32> = (1..=8).filter(|n| *n != first).collect();
        let choice = rig.range(1, &rest);
        stick(rig, rig.case.vip(), choice);
        assert_ne!(ask(rig, 40_001), first);
    });
}

#[test]
fn a_local_policy_does_not_follow_a_client_to_another_node() {
    each(|rig| {
        let case = rig.case;
        rig.backend(1, case.backend(1), ELSEWHERE);
        rig.backend(2, case.backend(2), HERE);
        let elsewhere = rig.range(0, &[1]);
        stick(rig, case.vip(), elsewhere);
        assert_eq!(ask(rig, 20_000), 1);
        let local = Choice { flags: Choice::LOCAL, ..rig.range(1, &[2]) };
        stick(rig, case.vip(), local);
        assert_eq!(ask(rig, 40_001), 2);
    });
}

#[test]
fn a_backend_of_the_local_set_only_is_not_kept_where_no_local_policy_applies() {
    each(|rig| {
        let case = rig.case;
        rig.backend(1, case.backend(1), BackendValue::LOCAL | BackendValue::IN_LOCAL_SET);
        rig.backend(2, case.backend(2), HERE);
        let local = Choice { flags: Choice::LOCAL, ..rig.range(0, &[1]) };
        stick(rig, case.vip(), local);
        assert_eq!(ask(rig, 20_000), 1);
        assert_eq!(ask(rig, 40_001), 1);
        let cluster = rig.range(1, &[2]);
        stick(rig, case.vip(), cluster);
        assert_eq!(ask(rig, 40_002), 2);
    });
}

/// A second port of the Service, with the same pods behind it.
const OTHER_PORT: u16 = 443;
/// Its id.
const OTHER: u32 = SERVICE + 1;

fn other_port(case: Case) -> SocketAddr {
    SocketAddr::new(case.vip().ip(), OTHER_PORT)
}

/// A pod's backend at the second port.
fn sibling(n: u32) -> u32 {
    n + 10
}

/// Eight pods behind two ports; clients are remembered for both together if `flags` says so.
fn serve_two_ports(rig: &mut Rig, flags: u8) {
    let case = rig.case;
    serve_sticky(rig);
    let choice = rig.range(0, &[1, 2, 3, 4, 5, 6, 7, 8]);
    rig.frontend(case.vip(), shared(SERVICE, choice, flags));
    for n in 1..=8 {
        let at = SocketAddr::new(case.backend(n).ip(), 8443);
        let value = BackendValue { service: OTHER, ..rig.backend_value(at) };
        rig.edit(Edit::Backend(sibling(n), value));
        for (service, id) in [(SERVICE, n), (OTHER, sibling(n))] {
            let key = SiblingKey { addr: at.ip().into(), service, zero: [0; 4] };
            rig.edit(Edit::Sibling(key, Some(id)));
        }
    }
    let choice = rig.range(1, &[18, 17, 16, 15, 14, 13, 12, 11]);
    rig.frontend(other_port(case), shared(OTHER, choice, flags));
}

/// A frontend whose clients are remembered under one id.
fn shared(service: u32, choice: Choice, flags: u8) -> FrontendValue {
    FrontendValue {
        service,
        affinity: AFFINITY,
        affinity_timeout_s: TIMEOUT_S,
        flags,
        ..leading_to(choice)
    }
}

/// From now on the second port does not choose this pod anew.
fn other_without(rig: &mut Rig, pod: u32) {
    let rest: Vec<u32> = (1..=8).filter(|n| *n != pod).map(sibling).collect();
    let choice = rig.range(2, &rest);
    let value = shared(OTHER, choice, FrontendValue::SHARED_AFFINITY);
    rig.frontend(other_port(rig.case), value);
}

/// Opens a flow to the second port; gives the number of the pod.
#[track_caller]
fn ask_other(rig: &mut Rig, port: u16) -> u32 {
    let case = rig.case;
    let chosen = rig.chosen(&case.opening(case.pod(port), other_port(case)));
    assert_eq!(chosen.port(), 8443);
    case.number_of(SocketAddr::new(chosen.ip(), case.backend(1).port()))
}

/// Pods that the client gets from 24 other ports at the second port.
fn ask_other_often(rig: &mut Rig) -> BTreeSet<u32> {
    (42_000..42_024).map(|port| ask_other(rig, port)).collect()
}

#[test]
fn a_client_of_all_ports_together_gets_the_same_pod_at_each() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let pod = ask(rig, 20_000);
        assert_eq!(ask_other_often(rig), [pod].into());
        assert_eq!(ask_often(rig), [pod].into());
        assert_eq!(remembered(rig).1.backend, pod, "by the port it asked last");
        ask_other(rig, 43_000);
        assert_eq!(remembered(rig).1.backend, sibling(pod));
    });
}

#[test]
fn a_client_of_each_port_by_itself_is_not_remembered_by_the_other() {
    each(|rig| {
        serve_two_ports(rig, 0);
        let chosen: BTreeSet<u32> = (20_000..20_024)
            .map(|port| {
                ask(rig, port);
                ask_other(rig, port + 1_000)
            })
            .collect();
        assert!(chosen.len() > 4, "{chosen:?}");
    });
}

#[test]
fn a_pod_that_is_gone_is_not_remembered_at_another_port() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let pod = ask(rig, 20_000);
        replace(rig, pod);
        other_without(rig, pod);
        let second = ask_other(rig, 40_001);
        assert_ne!(second, pod);
        assert_eq!(ask_often(rig), [second].into());
    });
}

#[test]
fn a_pod_that_the_other_port_does_not_have_is_not_followed() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let case = rig.case;
        for n in 1..=8 {
            let addr = case.backend(n).ip().into();
            let key = SiblingKey { addr, service: OTHER, zero: [0; 4] };
            rig.edit(Edit::Sibling(key, None));
        }
        let chosen: BTreeSet<u32> = (20_000..20_024)
            .map(|port| {
                rig.forget();
                ask(rig, port);
                ask_other(rig, port + 1_000)
            })
            .collect();
        assert!(chosen.len() > 4, "{chosen:?}");
    });
}

#[test]
fn a_pod_that_may_not_be_chosen_at_the_other_port_is_not_followed() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let case = rig.case;
        let pod = ask(rig, 20_000);
        let at = SocketAddr::new(case.backend(pod).ip(), 8443);
        let ending = BackendValue::LOCAL | BackendValue::TERMINATING;
        let value = BackendValue { service: OTHER, flags: ending, ..rig.backend_value(at) };
        rig.edit(Edit::Backend(sibling(pod), value));
        other_without(rig, pod);
        assert_ne!(ask_other(rig, 21_000), pod);
    });
}

#[test]
fn a_sibling_of_a_third_service_is_not_used() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let case = rig.case;
        let pod = ask(rig, 20_000);
        let other = if pod == 1 { 2 } else { 1 };
        // The cell was given away between two writes of the agent.
        let key = SiblingKey { addr: case.backend(pod).ip().into(), service: OTHER, zero: [0; 4] };
        rig.edit(Edit::Sibling(key, Some(other)));
        assert_eq!(ask_other_often(rig).len(), 1);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn silence_is_over_all_ports_together() {
    each(|rig| {
        serve_two_ports(rig, FrontendValue::SHARED_AFFINITY);
        let pod = ask(rig, 20_000);
        be_silent(rig, TIMEOUT_S - 1);
        assert_eq!(ask_other(rig, 21_000), pod);
        be_silent(rig, TIMEOUT_S - 1);
        assert_eq!(ask(rig, 22_000), pod);
        let mut chosen = BTreeSet::new();
        for port in 23_000..23_024 {
            be_silent(rig, TIMEOUT_S + 1);
            chosen.insert(if port % 2 == 0 { ask(rig, port) } else { ask_other(rig, port) });
        }
        assert!(chosen.len() > 4, "{chosen:?}");
    });
}
