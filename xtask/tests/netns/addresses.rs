//! Whose address a server sees: the client's wherever the way back allows it, else the node's.

use crate::expect::{all_ways, answer, answered, connected, datagrams, http, seen_as};
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, node_ports, vips};
use std::net::SocketAddr;
use xtask::lab::traffic::connect::Options;

/// Services in front of one pod and of hosts beyond the node.
const ELSEWHERE: &str = include_str!("manifests/elsewhere.yaml");
const HAIRPIN: &str = include_str!("manifests/hairpin.yaml");

/// HTTP and UDP of `elsewhere`, whose endpoints are no pods of this node.
const FAR: [&str; 4] = ["10.96.0.30:80", "10.96.0.30:53", "192.0.2.2:30090", "192.0.2.2:30063"];
/// HTTP and UDP of `hairpin`, whose only endpoint is `kubia-1`.
const OWN: [&str; 4] =
    ["10.96.0.31:80", "10.96.0.31:53", "[fd00:10:96::31]:80", "[fd00:10:96::31]:53"];

#[test]
fn servers_see_the_client_unless_the_answer_would_miss_the_node() {
    let stage = Stage::with_files(&[("elsewhere.yaml", ELSEWHERE), ("hairpin.yaml", HAIRPIN)], &[]);
    let [shell, node, client] = stage.clients();
    let near = [[HTTP, UDP].map(vips), [NODE_HTTP, NODE_UDP].map(node_ports)];
    for [[http4, http6], [udp4, udp6]] in near {
        for (to, udp, inside, outside) in [
            (http4, udp4, "10.244.0.20", "192.0.2.10"),
            (http6, udp6, "fd00:10:244::20", "2001:db8:1::10"),
        ] {
            for options in all_ways(to, udp, 30) {
                seen_as(shell, &options, inside);
                seen_as(client, &options, outside);
            }
        }
    }
    for options in far() {
        answer(client, &options, &["external-1", "external-2"]);
        seen_as(client, &options, "192.0.2.2");
        seen_as(node, &options, "192.0.2.2");
        // The pod's network is routed: its own address comes back to the node by itself.
        seen_as(shell, &options, "10.244.0.20");
    }
    hairpin(&stage);
}

#[test]
fn with_snat_always_servers_see_the_node_and_all_ways_still_work() {
    let files = [("elsewhere.yaml", ELSEWHERE), ("hairpin.yaml", HAIRPIN)];
    let stage = Stage::with_files(&files, &["--snat", "always"]);
    let [shell, _, client] = stage.clients();
    let [port4, port6] = node_ports(NODE_HTTP);
    let [udp4, udp6] = node_ports(NODE_UDP);
    for options in all_ways(port4, udp4, 30).into_iter().chain(all_ways(port6, udp6, 30)) {
        for from in [shell, client] {
            let report = answered(from, &options);
            // The node has an address on each of its links; which one depends on the link.
            let own = ["192.0.2.2", "10.244.0.1", "2001:db8:1::2", "fd00:10:244::1"];
            let own = |ip: &std::net::IpAddr| own.contains(&ip.to_string().as_str());
            assert!(report.seen_as.iter().all(own), "{} {report:?}", from.name());
        }
    }
    for to in vips(HTTP) {
        let seen = answered(client, &http(to, 30)).seen_as;
        assert!(
            !seen
                .iter()
                .any(|ip| ip.to_string().ends_with(":10") || ip.to_string().ends_with(".10")),
            "{seen:?}"
        );
    }
    seen_as(shell, &http(vips(HTTP)[0], 30), "10.244.0.20");
    for from in stage.clients() {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            answer(from, &http(to, 60), &PODS);
        }
        for options in far() {
            answer(from, &options, &["external-1", "external-2"]);
        }
    }
    hairpin(&stage);
}

/// A pod that is its Service's only endpoint reaches itself, through the port of a bridge.
fn hairpin(stage: &Stage) {
    let pod = &stage.network.pods[0];
    for to in addresses(&OWN) {
        let ways = if to.port() == UDP {
            vec![datagrams(to, 20), connected(to, 20)]
        } else {
            vec![http(to, 20)]
        };
        for options in ways {
            let report = answer(pod, &options, &["kubia-1"]);
            let own = report.seen_as.iter().any(|ip| ip.to_string().ends_with("11"));
            assert!(!own, "a pod is not answered by itself without SNAT: {report:?}");
        }
    }
}

fn far() -> Vec<Options> {
    let [http_vip, udp_vip, http_port, udp_port] = addresses(&FAR);
    [all_ways(http_vip, udp_vip, 40), all_ways(http_port, udp_port, 40)].concat()
}

fn addresses(texts: &[&str; 4]) -> [SocketAddr; 4] {
    texts.map(|text| text.parse().unwrap())
}
