//! Whose address a server sees: the client's wherever the way back allows it, else the node's.

use crate::expect::{all_ways, answer, answered, connected, datagrams, http, seen_as};
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, node_ports, vips};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use xtask::lab::Host;
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
    // The pod's network is routed: its own address comes back to the node by itself.
    for (from, own) in [(node, "192.0.2.2"), (shell, "10.244.0.20"), (client, "192.0.2.2")] {
        for options in far() {
            answer(from, &options, &["external-1", "external-2"]);
            seen_as(from, &options, own);
        }
    }
    hairpin(&stage);
}

#[test]
fn with_snat_always_servers_see_the_node_and_all_ways_still_work() {
    let files = [("elsewhere.yaml", ELSEWHERE), ("hairpin.yaml", HAIRPIN)];
    let stage = Stage::with_files(&files, &["--snat", "always"]);
    let [shell, node, client] = stage.clients();
    for from in [node, shell, client] {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            answer(from, &http(to, 60), &PODS);
        }
        for options in far() {
            answer(from, &options, &["external-1", "external-2"]);
        }
    }
    let [tcp, udp] = [NODE_HTTP, NODE_UDP].map(node_ports);
    for (tcp, udp) in tcp.into_iter().zip(udp) {
        for options in all_ways(tcp, udp, 30) {
            seen_as_the_node(shell, &options);
            seen_as_the_node(client, &options);
        }
    }
    for to in vips(HTTP) {
        seen_as_the_node(client, &http(to, 30));
    }
    // As with kube-proxy, a pod that asks a ClusterIP is told from outsiders and keeps its address.
    seen_as(shell, &http(vips(HTTP)[0], 30), "10.244.0.20");
    hairpin(&stage);
}

/// The node has an address on each of its links; which one is seen depends on the way.
fn seen_as_the_node(from: &Host, options: &Options) {
    let own = ["192.0.2.2", "10.244.0.1", "2001:db8:1::2", "fd00:10:244::1"];
    let own: BTreeSet<IpAddr> = own.iter().map(|ip| ip.parse().unwrap()).collect();
    let report = answered(from, options);
    assert!(report.seen_as.is_subset(&own), "{} to {}: {report:?}", from.name(), options.to);
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
