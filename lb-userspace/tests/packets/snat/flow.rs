//! There and back, under which port.

use super::{answered, asked, client, masqueraded, node, remote, serve_elsewhere};
use crate::frame::HOPS;
use crate::hook::Hook;
use crate::rig::{HZ, LINK, Rig, Verdict, each_routed};
use crate::tables::{ELSEWHERE, leading_to};
use lb_common::algo::tcp_state::Progress;
use lb_common::flow::Edge;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::node::LinkValue;
use lb_common::verdict::Reason;
use lb_common::wire::Port;

#[test]
fn an_outside_client_of_a_remote_backend_is_masqueraded_and_keeps_its_port() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        assert_eq!(masqueraded(rig, uplink, &asked(rig.case)), 20_000);
        assert_eq!(rig.reasons(), []);
    });
}

#[test]
fn its_answer_comes_back_from_the_frontend() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(rig.case));
        answered(rig, uplink, 20_000, client(rig.case));
    });
}

#[test]
fn both_halves_are_translated_at_ingress() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        let answer = case.later(remote(case), node(case, 20_000));
        let forward = rig.flow(asked(case).key(Edge::INGRESS));
        let reply = rig.flow(answer.key(Edge::INGRESS));
        assert_eq!((forward.flags, forward.link), (FlowValue::SNAT, uplink.index));
        assert_eq!((reply.flags, reply.link), (FlowValue::SNAT | FlowValue::REPLY, uplink.index));
        assert_eq!((forward.src, forward.sport), (case.node().into(), Port::new(20_000)));
        assert_eq!((reply.dst, reply.dport), (client(case).ip().into(), Port::new(20_000)));
        assert_eq!(rig.maps.flows().unwrap().len(), 2);
    });
}

#[test]
fn two_clients_with_one_port_get_two_and_their_own_answers() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        let clients = [1, 2, 3].map(|n| case.on_uplink(n, 20_000));
        let ports = clients.map(|c| masqueraded(rig, uplink, &case.opening(c, case.vip())));
        assert_eq!(ports[0], 20_000);
        assert!(ports[1] != ports[0] && ports[2] != ports[0] && ports[1] != ports[2], "{ports:?}");
        for (client, port) in clients.into_iter().zip(ports) {
            answered(rig, uplink, port, client);
        }
        let later = case.later(clients[1], case.vip());
        assert_eq!(masqueraded(rig, uplink, &later), ports[1]);
    });
}

#[test]
fn the_port_of_a_closed_flow_is_free() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        masqueraded(rig, uplink, &case.later(client(case), case.vip()).tcp(|tcp| tcp.rst = true));
        let next = case.opening(case.on_uplink(2, 20_000), case.vip());
        let kept = masqueraded(rig, uplink, &next) == 20_000;
        assert_eq!(kept, case.is_tcp(), "UDP has no end");
    });
}

#[test]
fn a_client_without_any_port_left_is_dropped_and_counted() {
    each_routed(|rig, _| {
        let case = rig.case;
        // 64,512 entries take their time.
        if !case.is_tcp() || case.v6 {
            return;
        }
        serve_elsewhere(rig);
        take_all_ports(rig);
        rig.drops(&asked(case), Reason::SourcePortsExhausted);
        assert_eq!(rig.find_flow(asked(case).key(Edge::INGRESS)), None);
    });
}

/// Makes somebody else own every source port towards the backend.
fn take_all_ports(rig: &mut Rig) {
    let case = rig.case;
    let mut key = case.later(remote(case), node(case, 0)).key(Edge::INGRESS);
    let mut value: FlowValue = bytemuck::Zeroable::zeroed();
    value.flags = FlowValue::REPLY | FlowValue::SNAT;
    for port in 1024..=u16::MAX {
        key.dport = Port::new(port);
        rig.maps.put_flow(key, value).unwrap();
    }
}

#[test]
fn the_last_hop_ends_at_a_node_that_routes() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(rig.case));
        for hops in [0, 1] {
            let last = asked(rig.case).hops(hops);
            rig.count_anew();
            if rig.case.is_xdp() {
                rig.passes(&last);
            }
            let told = rig.run(Hook::TcIngress, &last.bytes());
            let reasons = vec![(Reason::HopLimit, 1)];
            assert_eq!((told.verdict, rig.reasons()), (Verdict::Redirected, reasons));
        }
    });
}

#[test]
fn xdp_leaves_an_unknown_neighbour_to_tc_untouched() {
    each_routed(|rig, _| {
        let case = rig.case;
        let unknown = case.on_uplink(20, 8080);
        let choice = rig.behind(&[unknown], ELSEWHERE);
        rig.frontend(case.vip(), leading_to(choice));
        let sent = asked(case).between(node(case, 20_000), unknown).hops(HOPS - 1);
        if case.is_xdp() {
            rig.passes(&asked(case));
        }
        let bytes = asked(case).bytes();
        rig.run(Hook::TcIngress, &bytes).is(Verdict::Redirected, &sent);
    });
}

#[test]
fn a_lost_reply_half_of_a_masqueraded_flow_is_put_back() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        let key = case.later(remote(case), node(case, 20_000)).key(Edge::INGRESS);
        let before = rig.flow(key);
        rig.maps.remove_flow(&key).unwrap();
        let forward = asked(case).key(Edge::INGRESS);
        let value = rig.flow(forward);
        let silent = value.seen.wrapping_sub(8 * HZ);
        rig.maps.put_flow(forward, FlowValue { seen: silent, ..value }).unwrap();
        masqueraded(rig, uplink, &case.later(client(case), case.vip()));
        assert_eq!(FlowValue { seen: before.seen, ..rig.flow(key) }, before);
        answered(rig, uplink, 20_000, client(case));
    });
}

#[test]
fn an_answer_of_a_masqueraded_flow_is_noted_in_both_halves() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 20_000, client(case));
        let flows = rig.maps.flows().unwrap();
        assert!(flows.iter().all(|(_, value)| value.progress.0 == Progress::REPLIED), "{flows:?}");
    });
}

#[test]
fn xdp_leaves_a_packet_that_has_to_change_links_to_tc_untouched() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        serve_elsewhere(rig);
        rig.link = LINK;
        rig.link(LINK, LinkValue::UPLINK, None);
        let sent = asked(case).between(node(case, 20_000), remote(case)).hops(HOPS - 1);
        if case.is_xdp() {
            rig.passes(&asked(case));
        }
        let bytes = asked(case).bytes();
        rig.run(Hook::TcIngress, &bytes).is(Verdict::Redirected, &sent);
        let answer = case.later(remote(case), node(case, 20_000));
        let key = answer.key(Edge::INGRESS);
        assert_eq!(rig.flow(key).link, uplink.index, "loopback leads to no client");
    });
}
