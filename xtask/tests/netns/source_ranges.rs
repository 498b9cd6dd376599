//! `loadBalancerSourceRanges`: they guard load-balancer addresses and nothing else, and judge
//! everybody by the source, pods and the node too.

use crate::chain::at;
use crate::expect::{all_ways, answer, fails};
use crate::patience::eventually;
use crate::stage::{HTTP, PODS, Stage, UDP, node_ports};
use std::net::{IpAddr, SocketAddr};
use xtask::lab::Host;
use xtask::lab::traffic::connect::Options;

/// For `ADMITTED` and the pod `shell`.
const GUARDED: [&str; 2] = ["203.0.113.80", "2001:db8:80::80"];
/// For the node alone.
const NODES: [&str; 2] = ["203.0.113.81", "2001:db8:80::81"];

/// Two clients on one machine.
const ADMITTED: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];
const STRANGER: [&str; 2] = ["192.0.2.77", "2001:db8:1::77"];

/// Both are drops; a process of the node hears of its own at once.
const DROPPED: [&str; 2] = ["timed out", "permission denied"];

#[test]
fn source_ranges_judge_outsiders_pods_and_the_node_at_load_balancer_addresses() {
    let stage = stage();
    let [shell, node, client] = stage.clients();
    let pod = &stage.network.pods[0];
    for (host, own, to, admitted) in [
        (client, Some(ADMITTED), GUARDED, true),
        (client, Some(STRANGER), GUARDED, false),
        (shell, None, GUARDED, true),
        (pod, None, GUARDED, false),
        (node, None, GUARDED, false),
        (node, None, NODES, true),
        (shell, None, NODES, false),
        (client, Some(ADMITTED), NODES, false),
    ] {
        for options in ways(at(to, HTTP), at(to, UDP), own) {
            judged(host, &options, admitted);
        }
    }
}

#[test]
fn source_ranges_guard_neither_node_ports_nor_cluster_addresses() {
    let stage = stage();
    let own = ["10.96.0.80", "fd00:10:96::80"];
    for [tcp, udp] in [[node_ports(30180), node_ports(30183)], [at(own, HTTP), at(own, UDP)]] {
        for options in ways(tcp, udp, Some(STRANGER)) {
            judged(&stage.network.client, &options, true);
        }
        for host in [&stage.network.node, &stage.network.pods[0]] {
            for options in ways(tcp, udp, None) {
                judged(host, &options, true);
            }
        }
    }
}

#[test]
fn source_ranges_that_change_hold_for_the_next_connection() {
    let stage = stage();
    let client = &stage.network.client;
    let swap = |text: &str| text.replace("192.0.2.10/", "192.0.2.77/").replace("::10/", "::77/");
    stage.write("guarded.yaml", &swap(include_str!("manifests/guarded.yaml")));
    let http = at(GUARDED, HTTP);
    for (to, stranger) in http.into_iter().zip(STRANGER) {
        let options = Options { from: Some(stranger.parse().unwrap()), ..Options::to(to) };
        eventually("the stranger is admitted", || {
            client.connect(&options).unwrap().errors.is_empty()
        });
    }
    for (own, admitted) in [(STRANGER, true), (ADMITTED, false)] {
        for options in ways(http, at(GUARDED, UDP), Some(own)) {
            judged(client, &options, admitted);
        }
    }
}

/// With the guarded Services, the stranger's addresses, and ways to load-balancer addresses.
fn stage() -> Stage {
    let file = ("guarded.yaml", include_str!("manifests/guarded.yaml"));
    let stage = Stage::with_files(&[file], &[]);
    let client = &stage.network.client;
    client.address("eth0", "192.0.2.77/24").unwrap();
    client.address("eth0", "2001:db8:1::77/64").unwrap();
    client.route("203.0.113.80/31", "192.0.2.2").unwrap();
    client.route("2001:db8:80::/64", "2001:db8:1::2").unwrap();
    stage
}

/// All ways of both families, from an address of one's own where it matters.
fn ways(tcp: [SocketAddr; 2], udp: [SocketAddr; 2], own: Option<[&str; 2]>) -> Vec<Options> {
    let own = own.map(|own| own.map(|ip| ip.parse::<IpAddr>().unwrap()));
    let family = |family: usize| {
        let from = own.map(|own| own[family]);
        let ways = all_ways(tcp[family], udp[family], 40);
        ways.map(|options| Options { from, ..options })
    };
    [family(0), family(1)].concat()
}

fn judged(host: &Host, options: &Options, admitted: bool) {
    if admitted {
        answer(host, options, &PODS);
    } else {
        let few = Options { count: 3, timeout_ms: 100, ..options.clone() };
        fails(host, &few, &DROPPED);
    }
}
