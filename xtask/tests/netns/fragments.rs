//! Datagrams that are longer than any link: each of their fragments has to find its way.

use crate::chain::{Chain, FAR, FAR_UDP, NEAR, NODE_LEFT, NODE_RIGHT, at};
use crate::expect::{answered, connected, datagrams};
use crate::patience::within;
use crate::raw;
use crate::stage::{NODE_UDP, Stage, UDP, node_ports, vips};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use xtask::lab::Host;
use xtask::lab::kubia::{UDP as POD_UDP, pod_addresses};
use xtask::lab::traffic::connect::Options;

/// The server adds a line to what it sends back.
const LEN: usize = 20_000;

const NEAR_UDP: u16 = 30853;

/// A moment for a way to be found.
const PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn long_datagrams_arrive_whole_from_everywhere_by_every_way_in() {
    let stage = Stage::new();
    for from in stage.clients() {
        for to in [vips(UDP), node_ports(NODE_UDP)].concat() {
            long(from, to);
        }
    }
}

#[test]
fn long_datagrams_reach_endpoints_elsewhere() {
    let chain = Chain::new(&[]);
    for to in [at(FAR, UDP), at(NODE_LEFT, FAR_UDP)].concat() {
        for from in [&chain.shell, chain.node(), chain.client()] {
            long(from, to);
        }
    }
}

#[test]
fn long_datagrams_reach_the_pod_that_sends_them() {
    let hairpin = ("hairpin.yaml", include_str!("manifests/hairpin.yaml"));
    let stage = Stage::with_files(&[hairpin], &[]);
    for to in at(["10.96.0.31", "fd00:10:96::31"], UDP) {
        long(&stage.network.pods[0], to);
    }
}

#[test]
fn long_datagrams_find_their_way_through_narrow_links_to_the_endpoint() {
    for narrow in [3, 4] {
        eventually_pass(&Chain::new(&[narrow]), at(NODE_RIGHT, FAR_UDP));
    }
}

#[test]
fn long_datagrams_find_their_way_through_narrow_links_to_the_client() {
    for narrow in [1, 2] {
        let chain = Chain::new(&[narrow]);
        eventually_pass(&chain, at(NODE_LEFT, NEAR_UDP));
        eventually_pass(&chain, at(NODE_RIGHT, FAR_UDP));
    }
}

#[test]
fn fragments_may_come_in_any_order() {
    let stage = Stage::new();
    let [shell, _, client] = stage.clients();
    let backward: [usize; 5] = [4, 3, 2, 1, 0];
    for order in [backward, [1, 0, 4, 2, 3], [0, 1, 2, 3, 4]] {
        // What the lab does by itself.
        for to in pod_addresses(11).map(|ip| SocketAddr::new(ip, POD_UDP)) {
            in_order(shell, to, &order);
        }
        for to in vips(UDP) {
            in_order(shell, to, &order);
            in_order(client, to, &order);
        }
        for to in node_ports(NODE_UDP) {
            in_order(client, to, &order);
        }
    }
}

#[test]
fn fragments_to_endpoints_elsewhere_may_come_in_any_order() {
    let chain = Chain::new(&[]);
    for order in [[4, 3, 2, 1, 0], [1, 0, 4, 2, 3]] {
        for to in at(FAR, UDP) {
            in_order(&chain.shell, to, &order);
        }
        for to in [at(NODE_LEFT, FAR_UDP), at(NEAR, UDP)].concat() {
            in_order(chain.client(), to, &order);
        }
    }
}

fn long(from: &Host, to: SocketAddr) {
    for options in long_ones(to) {
        answered(from, &Options { timeout_ms: 500, ..options });
    }
}

/// Some are lost until everybody knows how narrow the path is.
fn eventually_pass(chain: &Chain, to: [SocketAddr; 2]) {
    for to in to {
        let options = Options { timeout_ms: 100, count: 1, ..long_ones(to)[0].clone() };
        within(PATIENCE, &format!("long datagrams pass to {to} and back"), || {
            chain.client().connect(&options).unwrap().errors.is_empty()
        });
    }
}

/// From both kinds of sockets; one at a time, because a veth has room for some hundred frames.
fn long_ones(to: SocketAddr) -> [Options; 2] {
    [datagrams(to, 5), connected(to, 5)].map(|options| Options {
        size: LEN,
        parallel: 1,
        ..options
    })
}

/// Sends one datagram in five fragments in this order; the endpoint gets it.
fn in_order(from: &Host, to: SocketAddr, order: &[usize]) {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = from.within(|| Ok(UdpSocket::bind((any, 0))?)).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let payload: Vec<u8> = (0..4500_u32).flat_map(u32::to_be_bytes).take(4500).collect();
    let fragments = raw::fragments(socket.local_addr().unwrap(), to, &payload);
    assert_eq!(fragments.len(), order.len());
    raw::send(from, to, order.iter().map(|place| fragments[*place].clone()));
    let mut answer = vec![0; 65_536];
    let len = socket.recv(&mut answer);
    let len = len.unwrap_or_else(|error| panic!("{} to {to}, {order:?}: {error}", from.name()));
    assert!(answer[..len].ends_with(&payload), "{} to {to}, {order:?}", from.name());
}
