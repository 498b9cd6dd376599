//! Pods on links of their own, without a bridge, as routed networks make them.
//!
//! ```text
//!  client 192.0.2.10 ── eth0 node ┬ veth-a ─ a 10.244.0.11/32
//!                        192.0.2.2 └ veth-b ─ b 10.244.0.12/32
//! ```

use crate::deployment::Deployment;
use crate::expect::{all_ways, answer, seen_as};
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, UDP, node_ports, vips};
use xtask::lab::kubia::serve_pod;
use xtask::lab::{End, Host, Lab, Process};

const GATEWAYS: [&str; 2] = ["169.254.1.1", "fd00:169:254::1"];
const SERVICES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
const NODE: [&str; 2] = ["192.0.2.2", "2001:db8:1::2"];

struct Routed {
    agent: Deployment,
    client: Host,
    node: Host,
    pods: [Host; 2],
    _servers: [Process; 2],
    _lab: Lab,
}

impl Routed {
    fn new(flags: &[&str]) -> Self {
        let lab = Lab::new().unwrap();
        let (client, node) = (lab.host("client").unwrap(), lab.host("node").unwrap());
        let end = |host, number| {
            let end = End::new(host, "eth0").address(&format!("192.0.2.{number}/24"));
            end.address(&format!("2001:db8:1::{number}/64"))
        };
        lab.veth(end(&client, 10), end(&node, 2)).unwrap();
        node.forward().unwrap();
        for (to, gateway) in SERVICES.iter().zip(NODE) {
            client.route(to, gateway).unwrap();
        }
        let pods =
            [("kubia-1", 11), ("kubia-2", 12)].map(|(name, number)| pod(&lab, &node, name, number));
        let servers = pods.each_ref().map(|pod| serve_pod(pod).unwrap());
        let mut agent = Deployment::new(&node);
        agent.write("web.yaml", include_str!("manifests/web.yaml"));
        agent.write("hairpin.yaml", include_str!("manifests/hairpin.yaml"));
        agent.example("pod-kubia-1.yaml");
        agent.example("pod-kubia-2.yaml");
        agent.start_with(flags);
        Self { agent, client, node, pods, _servers: servers, _lab: lab }
    }
}

fn pod(lab: &Lab, node: &Host, name: &str, number: u8) -> Host {
    let pod = lab.host(name).unwrap();
    let own = [format!("10.244.0.{number}/32"), format!("fd00:10:244::{number}/128")];
    let link = format!("veth-{name}");
    let [gateway4, gateway6] = GATEWAYS;
    let outside = End::new(node, &link);
    let outside = outside.address(&format!("{gateway4}/32")).address(&format!("{gateway6}/128"));
    lab.veth(outside, End::new(&pod, "eth0").address(&own[0]).address(&own[1])).unwrap();
    for (gateway, (own, all)) in GATEWAYS.iter().zip(own.iter().zip(["0.0.0.0/0", "::/0"])) {
        let only = if gateway.contains(':') { 128 } else { 32 };
        pod.route_onto(&format!("{gateway}/{only}"), "eth0").unwrap();
        pod.route(all, gateway).unwrap();
        node.route_onto(own, &link).unwrap();
    }
    pod
}

const BOTH: [&str; 2] = ["kubia-1", "kubia-2"];

#[test]
fn routed_pods_are_served_and_reach_themselves() {
    let stage = Routed::new(&[]);
    let mut links = stage.agent.links();
    links.sort();
    assert_eq!(links, ["eth0", "veth-kubia-1", "veth-kubia-2"]);
    everybody_is_served(&stage);
    let [tcp4, tcp6] = vips(HTTP);
    let [udp4, udp6] = vips(UDP);
    for options in all_ways(tcp4, udp4, 20) {
        seen_as(&stage.client, &options, "192.0.2.10");
    }
    for options in all_ways(tcp6, udp6, 20) {
        seen_as(&stage.client, &options, "2001:db8:1::10");
    }
}

#[test]
fn routed_pods_are_served_with_snat_always() {
    everybody_is_served(&Routed::new(&["--snat", "always"]));
}

fn everybody_is_served(stage: &Routed) {
    for from in [&stage.node, &stage.client, &stage.pods[0], &stage.pods[1]] {
        let ways = [(vips(HTTP), vips(UDP)), (node_ports(NODE_HTTP), node_ports(NODE_UDP))];
        for (tcp, udp) in ways {
            for (tcp, udp) in tcp.into_iter().zip(udp) {
                for way in all_ways(tcp, udp, 40) {
                    answer(from, &way, &BOTH);
                }
            }
        }
    }
    for vip in ["10.96.0.31", "[fd00:10:96::31]"] {
        let at = |port| format!("{vip}:{port}").parse().unwrap();
        for way in all_ways(at(80), at(53), 20) {
            answer(&stage.pods[0], &way, &["kubia-1"]);
        }
    }
}
