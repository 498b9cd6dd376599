//! Flows whose source is replaced: the answer would not come back to this node otherwise.

/// There and back, under which port.
mod flow;
/// Who is masqueraded, and by which address.
mod source;
/// Ports that processes of the node use.
mod sockets;

use crate::case::{Case, neighbour_mac};
use crate::frame::{Frame, HOPS};
use crate::network::Link;
use crate::rig::Rig;
use crate::tables::{ELSEWHERE, leading_to};
use lb_common::layout::frontend::Choice;
use std::net::SocketAddr;

pub(super) fn client(case: Case) -> SocketAddr {
    case.on_uplink(1, 20_000)
}

pub(super) fn remote(case: Case) -> SocketAddr {
    case.on_uplink(4, 8080)
}

pub(super) fn node(case: Case, port: u16) -> SocketAddr {
    SocketAddr::new(case.node(), port)
}

/// What the client sends.
pub(super) fn asked(case: Case) -> Frame {
    case.opening(client(case), case.vip())
}

/// One backend, on another node.
pub(super) fn serve_elsewhere(rig: &mut Rig) -> Choice {
    let choice = rig.behind(&[remote(rig.case)], ELSEWHERE);
    rig.frontend(rig.case.vip(), leading_to(choice));
    choice
}

/// A packet as it leaves by the uplink: one hop less, and from XDP with the addresses of the next
/// hop, which the kernel adds to what TC redirects.
pub(super) fn leaving(case: Case, uplink: &Link, frame: &Frame) -> Frame {
    let sent = frame.hops(HOPS - 1);
    let macs = (uplink.mac, neighbour_mac(frame.dst().ip()));
    if case.is_xdp() { sent.over(macs) } else { sent }
}

/// Sends a packet to the VIP that must reach the remote backend; gives the port it comes from.
#[track_caller]
pub(super) fn masqueraded(rig: &mut Rig, uplink: &Link, frame: &Frame) -> u16 {
    let case = rig.case;
    let outcome = rig.send(frame);
    let port = outcome.frame().src().port();
    let sent = frame.between(node(case, port), remote(case));
    outcome.is(rig.turned_back(), &leaving(case, uplink, &sent));
    port
}

/// The backend's answer to a port of the node must reach this client from the VIP.
#[track_caller]
pub(super) fn answered(rig: &mut Rig, uplink: &Link, port: u16, client: SocketAddr) {
    let case = rig.case;
    let answer = case.later(remote(case), node(case, port));
    let sent = answer.between(case.vip(), client);
    rig.send(&answer).is(rig.turned_back(), &leaving(case, uplink, &sent));
}
