//! What is counted, exactly.

use crate::rig::{Rig, each};
use crate::tables::{SERVICE, leading_to, nobody};
use lb_common::layout::counter::Traffic;
use std::array;

/// What two counters grew by, from before to now.
fn growth(rig: &Rig, before: [Traffic; 2]) -> [Traffic; 2] {
    let now = rig.traffic();
    array::from_fn(|n| Traffic {
        packets: now[n].packets - before[n].packets,
        bytes: now[n].bytes - before[n].bytes,
        connections: now[n].connections - before[n].connections,
    })
}

#[test]
fn every_translated_packet_is_counted_for_service_and_backend_in_both_directions() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        let asked = case.opening(case.pod(20_000), case.vip());
        let more = case.later(case.pod(20_000), case.vip()).carrying(&[1; 777]);
        let answer = case.later(case.backend(1), case.pod(20_000)).carrying(&[2; 333]);
        rig.send(&asked);
        rig.send(&more);
        rig.leave(&answer);
        let bytes = asked.counted_len() + more.counted_len() + answer.counted_len();
        assert_eq!(growth(rig, before), [Traffic { packets: 3, bytes, connections: 1 }; 2]);
    });
}

#[test]
fn bytes_of_a_jumbo_frame_count_and_ethernet_padding_does_not() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        let jumbo = case.later(case.pod(20_000), case.vip()).carrying(&case.jumbo());
        let tiny = case.later(case.pod(20_000), case.vip()).carrying(&[1]);
        rig.send(&jumbo);
        rig.send_bytes(&[tiny.bytes(), vec![0; 17]].concat());
        let bytes = jumbo.counted_len() + tiny.counted_len();
        assert_eq!(growth(rig, before), [Traffic { packets: 2, bytes, connections: 1 }; 2]);
    });
}

#[test]
fn every_flow_is_a_connection() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        for port in 20_000..20_007 {
            rig.send(&case.opening(case.pod(port), case.vip()));
            rig.send(&case.later(case.pod(port), case.vip()));
        }
        let [service, backend] = growth(rig, before);
        assert_eq!((service.connections, service.packets), (7, 14));
        assert_eq!(backend, service);
    });
}

#[test]
fn a_service_counts_the_sum_of_its_backends() {
    each(|rig| {
        let case = rig.case;
        rig.serve(3);
        let count = |rig: &Rig| [1, 2, 3].map(|id| rig.maps.backend_traffic(id).unwrap().packets);
        let packets = |rig: &Rig| rig.maps.service_traffic(SERVICE).unwrap().packets;
        let (before, sum_before) = (count(rig), packets(rig));
        let mut expected = before;
        for port in 20_000..20_030 {
            let backend = rig.chosen(&case.opening(case.pod(port), case.vip()));
            expected[case.number_of(backend) as usize - 1] += 1;
        }
        assert_eq!(count(rig), expected);
        assert_eq!(packets(rig), sum_before + 30);
    });
}

#[test]
fn packets_that_pass_or_are_refused_are_no_traffic() {
    each(|rig| {
        let case = rig.case;
        rig.serve(1);
        let before = rig.traffic();
        rig.passes(&case.opening(case.pod(20_000), case.stranger()));
        rig.frontend(case.vip(), leading_to(nobody(0)));
        rig.send(&case.opening(case.pod(40_001), case.vip()));
        assert_eq!(growth(rig, before), [Traffic::default(); 2]);
    });
}
