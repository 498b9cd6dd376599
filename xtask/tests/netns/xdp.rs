//! XDP on an uplink whose peers send whole checksums, as every real wire does.
//!
//! A veth delivers what its peer transmits by `XDP_TX` only while it runs an XDP program itself
//! (`veth_xdp_flush` in drivers/net/veth.c), so the switch has an agent of its own that serves
//! nothing.

use crate::deployment::Deployment;
use crate::expect::{all_ways, answer, seen_as};
use crate::stage::{NODE_HTTP, NODE_UDP, PODS, Stage, node_ports};
use serde_json::Value;

#[test]
fn xdp_serves_node_ports_with_backends_here_and_elsewhere() {
    let elsewhere = ("elsewhere.yaml", include_str!("manifests/elsewhere.yaml"));
    let mut stage = Stage::with_files(&[elsewhere], &["--xdp", "on"]);
    let mut switch = Deployment::new(&stage.network.wire);
    switch.start_with(&["--xdp", "on", "--devices", "node"]);
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

/// What `lbctl get links` says of the node's link to the wire.
fn uplink(stage: &Stage) -> Value {
    let links = stage.lbctl(&["get", "links"]);
    let mut links = links["items"].as_array().unwrap().iter();
    links.find(|link| link["kind"] == "uplink").unwrap().clone()
}
