//! Traces through Services: every router on the way answers as if nobody had translated the
//! packet, and so does an endpoint where nobody listens.

use crate::chain::{Chain, FAR, FAR_UDP, NEAR, NODE_LEFT, at, ends};
use crate::probe::{Heard, Probe, bound};
use nix::errno::Errno;
use std::net::{IpAddr, SocketAddr};
use xtask::lab::Host;
use xtask::lab::kubia::{UDP as POD_UDP, pod_addresses};

/// Ports of the Services.
const UDP: u16 = 53;
const CLOSED: u16 = 9;
/// What `CLOSED` means at the endpoints.
const CLOSED_ENDPOINT: u16 = 7;
const FAR_CLOSED: u16 = 30709;
const NEAR_UDP: u16 = 30853;
const NEAR_CLOSED: u16 = 30809;

/// What the lab does by itself: who fails here need not look at the agent.
#[test]
fn without_a_service_every_hop_answers() {
    let chain = Chain::new(&[]);
    let far = |port| ends(5, 2).map(|ip| SocketAddr::new(ip, port));
    trace(&chain.shell, &far(POD_UDP), &[gateway(), ends(3, 2), ends(4, 2)]);
    refused(&chain.shell, &far(CLOSED));
}

#[test]
fn a_pod_traces_the_way_to_a_services_endpoint() {
    let chain = Chain::new(&[]);
    trace(&chain.shell, &at(FAR, UDP), &[gateway(), ends(3, 2), ends(4, 2)]);
    trace(&chain.shell, &at(NODE_LEFT, FAR_UDP), &[gateway(), ends(3, 2), ends(4, 2)]);
}

#[test]
fn an_outside_client_traces_the_way_through_the_node() {
    let chain = Chain::new(&[]);
    let before = [ends(0, 2), ends(1, 2), ends(2, 2)];
    trace(chain.client(), &at(NODE_LEFT, NEAR_UDP), &before);
    trace(
        chain.client(),
        &at(NODE_LEFT, FAR_UDP),
        &[&before[..], &[ends(3, 2), ends(4, 2)]].concat(),
    );
}

#[test]
fn an_endpoint_that_refuses_datagrams_is_heard() {
    let chain = Chain::new(&[]);
    for to in [at(FAR, CLOSED), at(NEAR, CLOSED), at(NODE_LEFT, FAR_CLOSED)] {
        refused(&chain.shell, &to);
    }
    for to in [at(NEAR, CLOSED), at(NODE_LEFT, NEAR_CLOSED), at(NODE_LEFT, FAR_CLOSED)] {
        refused(chain.client(), &to);
    }
}

#[test]
fn an_endpoint_hears_that_its_client_is_gone() {
    let chain = Chain::new(&[]);
    for (server, own, ways) in [
        (&chain.pod, pod_addresses(11), [at(NEAR, CLOSED), at(NODE_LEFT, NEAR_CLOSED)]),
        (chain.far(), ends(5, 2), [at(FAR, CLOSED), at(NODE_LEFT, FAR_CLOSED)]),
    ] {
        for (own, to) in own.into_iter().cycle().zip(ways.concat()) {
            for client in [&chain.shell, chain.client()] {
                gone(client, to, server, SocketAddr::new(own, CLOSED_ENDPOINT));
            }
        }
    }
}

/// A client asks and goes; the endpoint's answer is refused, as the endpoint knows the client.
fn gone(client: &Host, to: SocketAddr, server: &Host, own: SocketAddr) {
    let socket = bound(server, own);
    let asking = Probe::new(client, to);
    asking.send(32).unwrap();
    let (_, peer) = socket.recv_from(&mut [0; 32]).unwrap();
    drop(asking);
    let answering = Probe::with(socket, server, peer);
    answering.send(32).unwrap();
    let Heard { error, about, .. } = answering.hear();
    assert_eq!((error, about), (Errno::ECONNREFUSED, peer), "{} by {to}", client.name());
}

/// These routers answer, each about the address that was asked, and the endpoint is next.
pub(crate) fn trace(from: &Host, to: &[SocketAddr], routers: &[[IpAddr; 2]]) {
    for to in to.iter().copied() {
        let family = usize::from(to.is_ipv6());
        for (hops, router) in (1..).zip(routers) {
            let probe = Probe::new(from, to).hop_limit(hops);
            probe.send(32).unwrap();
            let late = Errno::EHOSTUNREACH;
            let expected = Heard { error: late, by: router[family], about: to, mtu: 0 };
            assert_eq!(probe.hear(), expected, "hop {hops} from {}", from.name());
        }
        let probe = Probe::new(from, to).hop_limit(i32::try_from(routers.len()).unwrap() + 1);
        probe.send(32).unwrap();
        probe.answer().unwrap();
    }
}

/// The endpoint says that nobody listens.
pub(crate) fn refused(from: &Host, to: &[SocketAddr]) {
    for to in to.iter().copied() {
        let probe = Probe::new(from, to);
        probe.send(32).unwrap();
        let Heard { error, about, .. } = probe.hear();
        assert_eq!((error, about), (Errno::ECONNREFUSED, to), "{}", from.name());
    }
}

/// The node as its pods know it.
fn gateway() -> [IpAddr; 2] {
    ["10.244.0.1", "fd00:10:244::1"].map(|ip| ip.parse().unwrap())
}
