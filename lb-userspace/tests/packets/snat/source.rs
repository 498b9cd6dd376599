//! Who is masqueraded, and by which address.

use super::{answered, asked, client, masqueraded, node, remote, serve_elsewhere};
use crate::frame::{HOPS, NODE_MAC, PEER_MAC};
use crate::rig::each_routed;
use crate::tables::{ELSEWHERE, HERE, leading_to};
use lb_common::flow::Edge;
use lb_common::layout::frontend::{Choice, FrontendValue};
use lb_common::layout::node::{CidrKey, LinkValue};
use lb_common::verdict::Reason;
use lb_common::wire::Addr;
use lb_userspace::reconcile::Edit;

#[test]
fn a_local_backend_sees_the_address_of_an_outside_client() {
    each_routed(|rig, _| {
        rig.serve(1);
        assert_eq!(rig.chosen(&asked(rig.case)), rig.case.backend(1));
    });
}

#[test]
fn a_pod_of_another_node_is_an_insider_and_masqueraded() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let inside = serve_elsewhere(rig);
        let outside = Choice { len: 0, ..inside };
        rig.frontend(case.vip(), FrontendValue { outside, ..leading_to(inside) });
        let addr = Addr::from(client(case).ip()).0;
        rig.edit(Edit::Cidr(CidrKey { prefix_len: 128, addr }, true));
        masqueraded(rig, uplink, &asked(case));
    });
}

#[test]
fn the_nodes_address_stands_in_where_the_leaving_link_has_none() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(uplink.index, LinkValue::UPLINK, None);
        rig.link(0, 0, Some(rig.case.node()));
        masqueraded(rig, uplink, &asked(rig.case));
    });
}

#[test]
fn the_leaving_links_address_goes_before_the_nodes() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(0, 0, Some(rig.case.stranger().ip()));
        masqueraded(rig, uplink, &asked(rig.case));
    });
}

#[test]
fn without_an_address_to_masquerade_with_the_client_is_dropped_and_counted() {
    each_routed(|rig, uplink| {
        serve_elsewhere(rig);
        rig.link(uplink.index, LinkValue::UPLINK, None);
        rig.drops(&asked(rig.case), Reason::NoRoute);
        assert_eq!(rig.maps.flows().unwrap(), []);
    });
}

#[test]
fn without_a_route_to_the_backend_the_client_is_dropped_and_counted() {
    each_routed(|rig, _| {
        let case = rig.case;
        let choice = rig.behind(&[case.backend(1)], ELSEWHERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.drops(&asked(case), Reason::NoRoute);
    });
}

#[test]
fn always_snat_masquerades_a_pod_of_this_node_too() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        rig.link(uplink.index, LinkValue::POD, Some(case.node()));
        let choice = Choice { flags: Choice::SNAT, ..serve_elsewhere(rig) };
        rig.frontend(case.vip(), leading_to(choice));
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 20_000, client(case));
    });
}

#[test]
fn always_snat_masquerades_before_a_local_backend_too() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let choice = rig.behind(&[remote(case)], HERE);
        let choice = Choice { flags: Choice::SNAT, ..choice };
        rig.frontend(case.vip(), leading_to(choice));
        masqueraded(rig, uplink, &asked(case));
        answered(rig, uplink, 20_000, client(case));
    });
}

#[test]
fn a_pod_of_this_node_reaches_a_remote_backend_under_its_own_address() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        rig.link(uplink.index, LinkValue::POD, Some(case.node()));
        serve_elsewhere(rig);
        assert_eq!(rig.chosen(&asked(case)), remote(case));
    });
}

#[test]
fn where_the_source_is_kept_an_outside_client_reaches_a_remote_backend_under_its_own_address() {
    each_routed(|rig, _| {
        let case = rig.case;
        let choice = Choice { flags: Choice::KEEP, ..serve_elsewhere(rig) };
        rig.frontend(case.vip(), leading_to(choice));
        assert_eq!(rig.chosen(&asked(case)), remote(case));
        assert_eq!(rig.chosen(&case.later(client(case), case.vip())), remote(case));
        let flow = rig.flow(asked(case).key(Edge::INGRESS));
        assert_eq!((flow.flags, flow.link), (0, 0));
    });
}

#[test]
fn where_the_source_is_kept_no_route_is_asked_for() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let choice = rig.behind(&[case.backend(1)], ELSEWHERE);
        rig.frontend(case.vip(), leading_to(Choice { flags: Choice::KEEP, ..choice }));
        rig.link(uplink.index, LinkValue::UPLINK, None);
        assert_eq!(rig.chosen(&asked(case)), case.backend(1));
    });
}

#[test]
fn where_the_source_is_kept_a_client_that_reached_itself_is_the_exception() {
    each_routed(|rig, uplink| {
        let case = rig.case;
        let server = case.on_uplink(1, 8080);
        let choice = rig.behind(&[server], ELSEWHERE);
        rig.frontend(case.vip(), leading_to(Choice { flags: Choice::KEEP, ..choice }));
        let sent = asked(case).between(node(case, 20_000), server);
        let sent = sent.hops(HOPS - 1).over((NODE_MAC, PEER_MAC));
        rig.send(&asked(case)).is(rig.turned_back(), &sent);
        assert_eq!(rig.flow(asked(case).key(Edge::INGRESS)).link, uplink.index);
    });
}
