//! Sockets of the node's own processes: translated once, when they connect or send, and never
//! aware of it.

use crate::expect::{all_ways, answer, answered, connected, datagrams, fails, http, seen_as};
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, VIPS, node_ports, vips};
use std::net::SocketAddr;
use xtask::lab::traffic::connect::Options;

#[test]
fn a_process_of_the_node_never_sees_the_pod_behind_the_service() {
    let mut stage = Stage::new();
    let node = stage.network.node.clone();
    for options in every_address() {
        // An answer from another address than the one that was asked would be a failure.
        let report = answer(&node, &options, &PODS);
        assert!(report.peers.iter().eq([&options.to]), "{report:?}");
        assert!(report.reached.iter().all(|pod| *pod != options.to), "{report:?}");
    }
    let loopback = SocketAddr::from(([127, 0, 0, 1], NODE_HTTP));
    answer(&node, &http(loopback, 60), &PODS);
    other_namespaces_are_left_alone(&stage, loopback);

    stage.stop();
    stage.start_with(&["--socket-lb", "off"]);
    assert!(!stage.pins().iter().any(|pin| pin.contains("connect")), "{:?}", stage.pins());
    for to in vips(HTTP) {
        let report = node.connect(&Options { timeout_ms: 300, ..http(to, 3) }).unwrap();
        assert!(report.replies.is_empty(), "{report:?}");
    }
    fails(&node, &http(loopback, 3), &["connection refused"]);
    for from in [&stage.network.shell, &stage.network.client] {
        answer(from, &http(vips(HTTP)[0], 60), &PODS);
        answer(from, &datagrams(node_ports(NODE_UDP)[0], 60), &PODS);
    }

    stage.stop();
    stage.start_with(&[]);
    answer(&node, &http(vips(HTTP)[0], 60), &PODS);
}

/// By TCP, by a connected and by another UDP socket; IPv4, IPv6, and IPv4 through IPv6 sockets.
fn every_address() -> Vec<Options> {
    let mapped = |port| format!("[::ffff:{}]:{port}", VIPS[0]).parse().unwrap();
    let mut options = all_ways(mapped(HTTP), mapped(UDP), 60).to_vec();
    let pairs = [(vips(HTTP), vips(UDP)), (node_ports(NODE_HTTP), node_ports(NODE_UDP))];
    for (tcp, udp) in pairs {
        for (tcp, udp) in tcp.into_iter().zip(udp) {
            options.extend(all_ways(tcp, udp, 60));
        }
    }
    options
}

/// A pod's process in a cgroup below the node's, as on a real node: its packets are translated at
/// its link, its sockets are not. Its loopback is its own.
fn other_namespaces_are_left_alone(stage: &Stage, loopback: SocketAddr) {
    let pod = stage.network.shell.with_cgroup(stage.network.node.cgroup());
    answer(&pod, &http(vips(HTTP)[0], 60), &PODS);
    seen_as(&pod, &http(vips(HTTP)[1], 20), "fd00:10:244::20");
    answered(&pod, &connected(vips(UDP)[1], 20));
    fails(&pod, &http(loopback, 3), &["connection refused"]);
}
