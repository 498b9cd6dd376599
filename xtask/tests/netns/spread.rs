//! New connections spread over all pods, from everywhere and by every way in.

use crate::expect::{answer, answered, connected, datagrams, http};
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, node_ports, vips};
use std::net::SocketAddr;
use xtask::lab::Host;
use xtask::lab::traffic::connect::Options;
use xtask::lab::traffic::hold;

/// With so many connections a fair choice leaves 27 to 40 % once in 80,000 times.
const CONNECTIONS: u32 = 1000;

#[test]
fn connections_spread_evenly_from_everywhere_by_every_way_in() {
    let stage = Stage::new();
    for client in stage.clients() {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            evenly(client, &http(to, CONNECTIONS).parallel(32));
        }
    }
}

#[test]
fn datagrams_spread_by_source_port_and_stay_by_source_port() {
    let stage = Stage::new();
    for client in stage.clients() {
        for to in [vips(UDP), node_ports(NODE_UDP)].concat() {
            evenly(client, &datagrams(to, CONNECTIONS).parallel(32));
            answer(client, &connected(to, 60), &PODS);
            one_socket_stays(client, to);
        }
    }
    for client in [&stage.network.shell, &stage.network.client] {
        for to in [vips(UDP), node_ports(NODE_UDP)].concat() {
            one_port_stays(client, to);
        }
    }
}

fn evenly(client: &Host, options: &Options) {
    let report = answer(client, options, &PODS);
    let fair = options.count * 27 / 100..=options.count * 40 / 100;
    let even = report.replies.values().all(|count| fair.contains(count));
    assert!(even, "{} to {}: {report:?}", client.name(), options.to);
}

/// Another socket of the same port is the same client to everybody but the node's own kernel.
fn one_port_stays(client: &Host, to: SocketAddr) {
    let options = Options { from_port: Some(4000), parallel: 1, ..datagrams(to, 50) };
    let report = answered(client, &options);
    assert!(report.only().is_some(), "{} to {to}: {report:?}", client.name());
}

fn one_socket_stays(client: &Host, to: SocketAddr) {
    let options = hold::Options { datagram: true, pause_ms: 1, ..hold::Options::to(to) };
    let options = hold::Options { rounds: Some(20), ..options.connections(20) };
    let report = client.hold(&options).unwrap().finish().unwrap();
    assert!(report.is_whole() && report.answers == 400, "{} to {to}: {report:?}", client.name());
}
