//! Entries that are lost or renewed.

use super::{answer, asked, more, open, syn_ack};
use crate::case::Case;
use crate::rig::{HZ, Rig, Verdict, each, each_where};
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::conntrack::FlowValue;

/// Lets time pass for a half.
fn be_silent(rig: &mut Rig, key: FlowKey, seconds: u32) {
    let value = rig.flow(key);
    let seen = value.seen.wrapping_sub(seconds * HZ);
    rig.maps.put_flow(key, FlowValue { seen, ..value }).unwrap();
}

#[test]
fn a_lost_reply_half_is_put_back_after_a_silence() {
    each(|rig| {
        open(rig);
        let (forward, reply) =
            (asked(rig.case).key(Edge::INGRESS), answer(rig.case).key(Edge::EGRESS));
        let before = rig.flow(reply);
        rig.maps.remove_flow(&reply).unwrap();
        be_silent(rig, forward, 8);
        rig.chosen(&more(rig.case));
        let after = rig.flow(reply);
        assert_eq!(FlowValue { seen: before.seen, ..after }, before);
        let late = answer(rig.case);
        rig.leave(&late).is(Verdict::Passed, &late.from(rig.case.vip()));
    });
}

#[test]
fn a_lost_reply_half_is_put_back_by_a_syn() {
    each_where(Case::is_tcp, |rig| {
        open(rig);
        rig.maps.remove_flow(&answer(rig.case).key(Edge::EGRESS)).unwrap();
        rig.chosen(&asked(rig.case));
        let late = syn_ack(&answer(rig.case));
        rig.leave(&late).is(Verdict::Passed, &late.from(rig.case.vip()));
    });
}

#[test]
fn a_lost_forward_half_is_opened_again_without_a_second_reply_half() {
    each(|rig| {
        open(rig);
        rig.lose(&asked(rig.case));
        rig.chosen(&more(rig.case));
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
    });
}

#[test]
fn a_packet_after_a_second_renews_its_half() {
    each(|rig| {
        open(rig);
        let key = asked(rig.case).key(Edge::INGRESS);
        let now = rig.flow(key).seen;
        be_silent(rig, key, 2);
        rig.chosen(&more(rig.case));
        let seen = rig.flow(key).seen;
        assert!(seen.wrapping_sub(now) < HZ, "{seen}, {now}");
    });
}

#[test]
fn a_packet_within_a_second_writes_nothing() {
    each(|rig| {
        open(rig);
        rig.leave(&answer(rig.case));
        // Now and then a second ends in between.
        assert!((0..5).any(|_| is_only_read(rig)));
    });
}

/// Whether a packet each way leaves the entries as they are.
fn is_only_read(rig: &mut Rig) -> bool {
    let before = rig.maps.flows().unwrap();
    rig.chosen(&more(rig.case));
    rig.leave(&answer(rig.case));
    rig.maps.flows().unwrap() == before
}
