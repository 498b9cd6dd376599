//! `lb-agent cleanup`: nothing is left, and Services are no more.

use crate::expect::{answer, http};
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, node_ports, vips};
use aya::programs::{SchedClassifier, TcAttachType};
use std::fs;
use xtask::lab::Host;
use xtask::lab::traffic::connect::Options;

#[test]
fn cleanup_leaves_nothing_and_a_new_agent_starts_afresh() {
    let mut stage = Stage::new();
    let node = stage.network.node.clone();
    let links = ["eth0", "veth-kubia-1", "veth-kubia-2", "veth-kubia-3", "veth-shell"];
    for link in links {
        assert_eq!(programs(&node, link), [1, 1], "{link}");
    }
    stage.stop();
    assert!(stage.clean_up().starts_with("removed programs, maps and flows of "));
    for link in links {
        // The kernel takes a link off whose last pin is gone a moment later.
        eventually(&format!("{link} is left alone"), || programs(&node, link) == [0, 0]);
    }
    assert_eq!(stage.pins(), [""; 0]);
    let left = fs::read_dir(stage.state()).into_iter().flatten().flatten();
    let left: Vec<_> = left.map(|file| file.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    for client in stage.clients() {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            let options = Options { timeout_ms: 300, ..http(to, 1) };
            let report = client.connect(&options).unwrap();
            assert!(report.replies.is_empty(), "{} to {to}: {report:?}", client.name());
        }
    }

    stage.start();
    for client in stage.clients() {
        answer(client, &http(vips(HTTP)[0], 60), &PODS);
    }
}

/// How many TCX programs a link has at ingress and egress.
fn programs(node: &Host, link: &str) -> [usize; 2] {
    let count = |side| SchedClassifier::query_tcx(link, side).unwrap().1.len();
    node.within(|| Ok([TcAttachType::Ingress, TcAttachType::Egress].map(count))).unwrap()
}
