//! Errors about what a client sent, where its source was replaced: they come to the node, and go
//! on to the client.

use super::{kinds, lengths, message, quote, too_big, with_check_of};
use crate::case::{Case, TARGET_PORT};
use crate::frame::{Frame, HOPS, NODE_MAC, PEER_MAC};
use crate::network::Link;
use crate::rig::{LINK, Rig, Verdict, each_of, each_routed_of};
use crate::shape::tagged;
use crate::snat::{asked, client, masqueraded, node, remote, serve_elsewhere};
use crate::tables::{HERE, leading_to};
use lb_common::layout::node::LinkValue;
use std::net::IpAddr;

fn each(scene: impl Fn(&mut Rig, &Link)) {
    each_routed_of(Case::in_tc(), scene);
}

/// A flow whose source was replaced, port and all; gives what was asked, and what was sent.
fn open(rig: &mut Rig, uplink: &Link) -> (Frame, Frame) {
    let case = rig.case;
    serve_elsewhere(rig);
    // Another client has the port already.
    masqueraded(rig, uplink, &case.opening(case.on_uplink(2, 20_000), case.vip()));
    let port = masqueraded(rig, uplink, &asked(case));
    assert_ne!(port, 20_000);
    let asked = case.later(client(case), case.vip());
    let sent = asked.between(node(case, port), remote(case));
    (asked, sent)
}

#[track_caller]
fn goes_on(rig: &mut Rig, uplink: &Link, (from, told_by): (IpAddr, IpAddr)) {
    let case = rig.case;
    let (asked, sent) = open(rig, uplink);
    for kind in kinds(case.v6) {
        for len in lengths(&sent) {
            let (theirs, ours) = (quote(&sent, len), quote(&asked, len));
            let ours = with_check_of(ours, &theirs, case);
            let told = message(told_by, client(case).ip(), *kind, &ours).hops(HOPS - 1);
            let out = rig.send(&message(from, case.node(), *kind, &theirs));
            let expected = (Verdict::Redirected, told.bytes());
            assert_eq!((out.verdict, out.bytes), expected, "{kind:?} {len}");
        }
    }
    assert_eq!(rig.reasons(), []);
}

#[test]
fn an_error_of_a_router_goes_on_to_the_client() {
    each(|rig, uplink| {
        let router = rig.case.on_uplink(7, 0).ip();
        goes_on(rig, uplink, (router, router));
    });
}

#[test]
fn an_error_of_the_backend_itself_comes_from_the_frontend() {
    each(|rig, uplink| {
        let (backend, vip) = (remote(rig.case).ip(), rig.case.vip().ip());
        goes_on(rig, uplink, (backend, vip));
    });
}

#[test]
fn an_error_about_an_answer_goes_on_to_the_backend() {
    each(|rig, uplink| {
        let case = rig.case;
        let (asked, sent) = open(rig, uplink);
        let answered = asked.between(asked.dst(), asked.src());
        let answer = sent.between(sent.dst(), sent.src());
        // The client itself has the node's address in the eyes of the backend.
        let router = case.on_uplink(7, 0).ip();
        for (from, told_by) in [(router, router), (client(case).ip(), case.node())] {
            for len in lengths(&answer) {
                let (theirs, ours) = (quote(&answered, len), quote(&answer, len));
                let ours = with_check_of(ours, &theirs, case);
                let kind = too_big(case.v6);
                let told = message(told_by, remote(case).ip(), kind, &ours).hops(HOPS - 1);
                let out = rig.send(&message(from, case.vip().ip(), kind, &theirs));
                let expected = (Verdict::Redirected, told.bytes());
                assert_eq!((out.verdict, out.bytes), expected, "from {from}, {len}");
            }
        }
    });
}

#[test]
fn an_error_to_a_client_that_is_its_own_backend_turns_back_to_it() {
    each_of(Case::in_tc(), |rig| {
        let case = rig.case;
        let server = case.pod(TARGET_PORT);
        let choice = rig.behind(&[server], HERE);
        rig.frontend(case.vip(), leading_to(choice));
        rig.link(LINK, LinkValue::POD, Some(case.node()));
        let asked = case.opening(case.pod(20_000), case.vip());
        rig.send(&asked);
        let sent = asked.between(node(case, 20_000), server);
        let len = lengths(&sent)[0];
        let kind = too_big(case.v6);
        let error = message(server.ip(), case.node(), kind, &quote(&sent, len));
        let ours = with_check_of(quote(&asked, len), &quote(&sent, len), case);
        let told = message(case.vip().ip(), server.ip(), kind, &ours);
        let told = told.hops(HOPS - 1).over((NODE_MAC, PEER_MAC));
        rig.send(&error).is_bytes(Verdict::Redirected, &told.bytes());
    });
}

#[test]
fn tags_come_off_an_error_that_goes_on() {
    each(|rig, uplink| {
        let case = rig.case;
        let (asked, sent) = open(rig, uplink);
        let (len, kind, router) = (lengths(&sent)[0], too_big(case.v6), case.on_uplink(7, 0).ip());
        let error = message(router, case.node(), kind, &quote(&sent, len));
        let told = message(router, client(case).ip(), kind, &quote(&asked, len));
        let told = told.hops(HOPS - 1);
        let out = rig.send_bytes(&tagged(&error.bytes(), &[(0x88a8, 7), (0x8100, 8)]));
        out.is_bytes(Verdict::Redirected, &told.bytes());
    });
}
