//! XDP on an uplink whose peers send whole checksums, as every real wire does.
//!
//! A veth delivers what its peer transmits by `XDP_TX` only while it runs an XDP program itself
//! (`veth_xdp_flush` in drivers/net/veth.c), so the switch has an agent of its own that serves
//! nothing.

use crate::deployment::Deployment;
use crate::expect::{all_ways, answer, answered, datagrams, seen_as};
use crate::probe::{Heard, Probe};
use crate::stage::{NODE_HTTP, NODE_UDP, PODS, Stage, node_ports};
use nix::errno::Errno;
use serde_json::Value;
use std::net::SocketAddr;
use xtask::lab::traffic::connect::Options;

/// A Service whose endpoints are hosts on the uplink's wire.
const ELSEWHERE: &str = include_str!("manifests/elsewhere.yaml");

#[test]
fn xdp_serves_node_ports_with_backends_here_and_elsewhere() {
    let mut stage = Stage::with_files(&[("elsewhere.yaml", ELSEWHERE)], &["--xdp", "on"]);
    let _switch = switch(&stage);
    let client = stage.network.client.clone();
    let link = uplink(&stage);
    assert_eq!(link["xdp"], "driver", "{link}");
    let [http4, http6] = node_ports(NODE_HTTP);
    let [udp4, udp6] = node_ports(NODE_UDP);
    for (http, udp, own) in [(http4, udp4, "192.0.2.10"), (http6, udp6, "2001:db8:1::10")] {
        for way in all_ways(http, udp, 60) {
            answer(&client, &way, &PODS);
            seen_as(&client, &way, own);
        }
    }
    let [far, far_udp] = ["192.0.2.2:30090", "192.0.2.2:30063"].map(|to| to.parse().unwrap());
    for way in all_ways(far, far_udp, 60) {
        answer(&client, &way, &["external-1", "external-2"]);
        seen_as(&client, &way, "192.0.2.2");
    }
    stage.stop();
    // XDP stays while no agent runs, and goes when the next one is not told to use it.
    for way in all_ways(http4, udp4, 60) {
        answer(&client, &way, &PODS);
    }
    stage.start_with(&[]);
    let link = uplink(&stage);
    assert_eq!(link["xdp"], Value::Null);
    let reason = link["xdp_reason"].as_str().unwrap();
    assert!(reason.contains("checksum"), "{link}");
    assert!(!stage.pins().iter().any(|pin| pin.starts_with("lb_xdp")), "{:?}", stage.pins());
    for way in all_ways(http4, udp4, 60) {
        answer(&client, &way, &PODS);
    }
}

#[test]
fn fragments_and_errors_are_translated_where_xdp_runs() {
    // The same hosts at a port where nobody listens.
    let closed = ELSEWHERE.replace("elsewhere", "closed").replace("5353", "5354");
    let closed = closed.replace("10.96.0.30", "10.96.0.33").replace(": 300", ": 301");
    let files = [("elsewhere.yaml", ELSEWHERE), ("closed.yaml", &closed)];
    let stage = Stage::with_files(&files, &["--xdp", "on"]);
    let _switch = switch(&stage);
    let client = &stage.network.client;
    let at = |to: &str| to.parse::<SocketAddr>().unwrap();
    // What the lab does by itself comes first.
    let mut all = vec![at("10.244.0.11:5353"), at("[fd00:10:244::11]:5353")];
    all.extend(node_ports(NODE_UDP));
    all.push(at("192.0.2.2:30063"));
    for to in all {
        // One at a time: a veth with XDP has room for 256 frames.
        let one = Options { parallel: 1, ..datagrams(to, 10) };
        answered(client, &Options { size: 20_000, timeout_ms: 500, ..one });
    }
    let probe = Probe::new(client, at("192.0.2.2:30163"));
    probe.send(32).unwrap();
    let Heard { error, about, .. } = probe.hear();
    assert_eq!((error, about), (Errno::ECONNREFUSED, at("192.0.2.2:30163")));
}

/// The agent at the other end of the node's uplink.
fn switch(stage: &Stage) -> Deployment {
    let mut switch = Deployment::new(&stage.network.wire);
    switch.start_with(&["--xdp", "on", "--devices", "node"]);
    switch
}

/// What `lbctl get links` says of the node's link to the wire.
fn uplink(stage: &Stage) -> Value {
    let links = stage.lbctl(&["get", "links"]);
    let mut links = links["items"].as_array().unwrap().iter();
    links.find(|link| link["kind"] == "uplink").unwrap().clone()
}
