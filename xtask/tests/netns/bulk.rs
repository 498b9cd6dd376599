//! A hundred megabytes there and back, every byte checked, with the offloads that veth has.

use crate::stage::{BULK, NODE_BULK, Stage, node_ports, vips};
use std::net::SocketAddr;
use xtask::lab::Host;
use xtask::lab::traffic::bulk::Options;

const BYTES: u64 = 100_000_000;

#[test]
fn every_byte_of_a_large_transfer_arrives_through_services() {
    let stage = Stage::new();
    let client = &stage.network.client;
    // The lab turns it off, as a wire would; here segments are to be large and checksums partial.
    client.feature("eth0", "tx-checksum-ip-generic", true).unwrap();
    for to in vips(BULK) {
        transfer(&stage.network.shell, to);
    }
    for to in node_ports(NODE_BULK) {
        transfer(client, to);
    }
}

fn transfer(client: &Host, to: SocketAddr) {
    let report = client.bulk(&Options::to(to, BYTES)).unwrap();
    assert_eq!(report.bytes, BYTES, "{} to {to}", client.name());
    // A lost checksum or a segment that is never large enough shows as retransmissions at best.
    let slow = report.there_ms.max(report.back_ms);
    assert!(slow < 10_000, "{} to {to}: {report:?}", client.name());
}
