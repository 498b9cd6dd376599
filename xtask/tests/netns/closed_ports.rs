//! Ports of a `ClusterIP` that no Service has: refused at once, so that nobody waits for a time-out.

use crate::expect::{answer, connected, fails, http};
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, UDP, vips};
use std::net::SocketAddr;
use xtask::lab::Host;
use xtask::lab::traffic::connect::Options;

/// Nobody's, one that is served by the other protocol, and one that means something at the node.
const TCP_CLOSED: [u16; 3] = [81, UDP, NODE_HTTP];
const UDP_CLOSED: [u16; 2] = [54, HTTP];

#[test]
fn ports_of_a_cluster_address_that_no_service_has_are_refused_at_once() {
    let stage = Stage::new();
    for from in stage.clients() {
        for to in TCP_CLOSED.map(vips).concat() {
            refused(from, http(to, 3));
        }
        for to in UDP_CLOSED.map(vips).concat() {
            refused(from, connected(to, 3));
        }
        answer(from, &http(vips(HTTP)[0], 60), &PODS);
    }
}

#[test]
fn a_port_that_a_service_gives_up_is_refused_and_one_that_it_takes_is_served() {
    let stage = Stage::new();
    let shell = &stage.network.shell;
    let moved = include_str!("manifests/web.yaml").replace("port: 80,", "port: 81,");
    stage.write("web.yaml", &moved);
    let [new, old] = [81, HTTP].map(|port| vips(port)[0]);
    eventually("the new port is served", || works(shell, new));
    for from in stage.clients() {
        answer(from, &http(new, 60), &PODS);
        refused(from, http(old, 3));
    }
}

fn works(from: &Host, to: SocketAddr) -> bool {
    from.connect(&Options { timeout_ms: 200, ..http(to, 1) }).unwrap().errors.is_empty()
}

fn refused(from: &Host, options: Options) {
    fails(from, &Options { timeout_ms: 300, ..options }, &["connection refused"]);
}
