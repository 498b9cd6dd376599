//! A client that asks all the time over one connected UDP socket, as resolvers do, and a Service
//! whose only pod is replaced.

use crate::chain::at;
use crate::stage::{Stage, UDP, node_ports};
use std::thread;
use std::time::Duration;
use xtask::lab::traffic::{Held, hold};

const MANIFEST: &str = include_str!("manifests/name-server.yaml");
const VIP: [&str; 2] = ["10.96.0.53", "fd00:10:96::53"];
const NODE_PORT: u16 = 30253;

/// Long enough for a hundred questions.
const A_WHILE: Duration = Duration::from_millis(1500);

#[test]
fn a_connected_socket_loses_one_question_at_most_when_its_only_pod_is_replaced() {
    let stage = Stage::with_files(&[("name-server.yaml", MANIFEST)], &[]);
    let [shell, _, client] = stage.clients();
    let talks = [at(VIP, UDP).map(|to| (shell, to)), node_ports(NODE_PORT).map(|to| (client, to))];
    let held = talks.concat().into_iter().map(|(from, to)| {
        let options = hold::Options { udp: true, pause_ms: 10, ..hold::Options::to(to) };
        (to, from.hold(&hold::Options { timeout_ms: 500, ..options.connections(1) }).unwrap())
    });
    let held: Vec<(_, Held)> = held.collect();
    thread::sleep(A_WHILE / 3);
    let next = MANIFEST.replace("name-server-1", "name-server-2").replace("244.0.11", "244.0.12");
    stage.write("name-server.yaml", &next.replace("244::11", "244::12"));
    stage.network.pods[0].down("eth0").unwrap();
    thread::sleep(A_WHILE);
    for (to, held) in held {
        let report = held.finish().unwrap();
        let lost: u32 = report.lost.values().sum();
        assert!(report.opened.keys().eq(["kubia-1"]) && lost <= 1, "{to}: {report:?}");
        // A socket that stayed would count none as moved, and one that waits has few answers.
        assert!(report.moved > 30 && report.answers > 60, "{to}: {report:?}");
    }
}
