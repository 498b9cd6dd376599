//! Pods and Services come and go while clients are talking.

use crate::expect::{answer, connected, fails, http};
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, node_ports, vips};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};
use xtask::lab::Host;
use xtask::lab::kubia::{UDP as UDP_POD, pod_addresses};
use xtask::lab::traffic::connect::Options;
use xtask::lab::traffic::{Held, hold};

/// After this a pod whose manifest is gone gets no new connection.
const PROMPT: Duration = Duration::from_millis(500);

const REFUSED: &str = "connection refused";

#[test]
fn a_pod_that_goes_gets_nothing_new_and_one_that_comes_gets_its_share() {
    let stage = Stage::new();
    let [shell, _, client] = stage.clients();
    let connections = [vips(HTTP), node_ports(NODE_HTTP)].concat();
    let held = connections.iter().map(|to| {
        let from = if to.port() == HTTP { shell } else { client };
        from.hold(&hold::Options::to(*to).connections(30)).unwrap()
    });
    let held: Vec<Held> = held.collect();
    stage.remove("pod-kubia-3.yaml");
    forgotten(shell, vips(HTTP)[0], "kubia-3");
    for from in stage.clients() {
        for to in &connections {
            answer(from, &http(*to, 40), &["kubia-1", "kubia-2"]);
        }
    }
    stage.example("pod-kubia-3.yaml");
    eventually("the pod that came back answers", || {
        stage.network.shell.connect(&http(vips(HTTP)[0], 30)).unwrap().replies.len() == 3
    });
    for from in stage.clients() {
        for to in &connections {
            answer(from, &http(*to, 60), &PODS);
        }
    }
    // The pod itself lives on: connections to it are its own business, as with kube-proxy.
    for held in held {
        let report = held.finish().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

#[test]
fn a_service_without_endpoints_refuses_and_one_that_is_gone_is_nothing() {
    let stage = Stage::with_files(&[("empty.yaml", include_str!("manifests/empty.yaml"))], &[]);
    let tcp = ["10.96.0.40:80", "[fd00:10:96::40]:80", "192.0.2.2:30140", "[2001:db8:1::2]:30140"];
    let udp = ["10.96.0.40:53", "[fd00:10:96::40]:53", "192.0.2.2:30153", "[2001:db8:1::2]:30153"];
    for from in stage.clients() {
        for to in tcp {
            fails(from, &impatient(http(to.parse().unwrap(), 5)), &[REFUSED]);
        }
        for to in udp {
            fails(from, &impatient(connected(to.parse().unwrap(), 5)), &[REFUSED]);
        }
    }
    for name in PODS {
        stage.remove(&format!("pod-{name}.yaml"));
    }
    let [shell, _, client] = stage.clients();
    eventually("a Service whose last endpoint went refuses", || refuses(shell, vips(HTTP)[0]));
    for from in stage.clients() {
        fails(from, &impatient(http(vips(HTTP)[1], 5)), &[REFUSED]);
        fails(from, &impatient(connected(vips(UDP)[0], 5)), &[REFUSED]);
        fails(from, &impatient(connected(node_ports(NODE_UDP)[1], 5)), &[REFUSED]);
    }
    stage.remove("web.yaml");
    eventually("a VIP without a Service does not refuse", || !refuses(shell, vips(HTTP)[0]));
    // The kernel limits how often it says that there is no route.
    let nowhere = ["network unreachable", "host unreachable", "timed out"];
    for from in stage.clients() {
        fails(from, &impatient(http(vips(HTTP)[0], 1)), &nowhere);
        fails(from, &impatient(http(vips(HTTP)[1], 1)), &nowhere);
    }
    // Nobody listens at a node port that is nobody's: the node's own kernel says so.
    fails(client, &impatient(http(node_ports(NODE_HTTP)[0], 1)), &[REFUSED]);
}

#[test]
fn a_udp_client_loses_one_answer_at_most_when_its_pod_goes() {
    let stage = Stage::new();
    let [shell, node, client] = stage.clients();
    let [vip, vip6] = vips(UDP);
    let [port, _] = node_ports(NODE_UDP);
    let talks =
        [(shell, vip, true), (shell, vip6, false), (client, port, true), (node, vip, false)];
    let held: Vec<Held> = talks.map(|(from, to, udp)| talk(from, to, udp)).into();
    // A pod that is gone answers nobody, not even those who had asked it before.
    stage.remove("pod-kubia-1.yaml");
    forgotten(shell, vips(HTTP)[0], "kubia-1");
    stage.network.pods[0].down("eth0").unwrap();
    thread::sleep(Duration::from_millis(500));
    for (held, (from, to, _)) in held.into_iter().zip(talks) {
        let report = held.finish().unwrap();
        let lost: u32 = report.lost.values().sum();
        let sockets = report.opened.values().sum::<u32>();
        let moved = report.opened.contains_key("kubia-1");
        assert!(lost <= sockets && moved, "{} to {to}: {report:?}", from.name());
        assert!(report.moved > 0, "{} to {to}: {report:?}", from.name());
    }
}

#[test]
fn a_connected_udp_socket_of_the_node_is_told_that_its_pod_is_gone() {
    let mut stage = Stage::new();
    let node = stage.network.node.clone();
    let mapped = SocketAddr::new(Ipv4Addr::from([10, 96, 0, 20]).to_ipv6_mapped().into(), UDP);
    let services = vips(UDP).into_iter().chain([mapped, node_ports(NODE_UDP)[0]]);
    let held: Vec<Held> = services.map(|to| resolve(&node, to)).collect();
    // Who asks the pod itself has nothing to do with the Service.
    let direct = pod_addresses(11).map(|ip| resolve(&node, SocketAddr::new(ip, UDP_POD)));

    stage.remove("pod-kubia-1.yaml");
    forgotten(&node, vips(HTTP)[0], "kubia-1");
    thread::sleep(Duration::from_millis(200));
    // The next agent catches up with what it missed.
    stage.kill();
    stage.remove("pod-kubia-2.yaml");
    stage.start();
    thread::sleep(Duration::from_millis(200));
    for held in held {
        let report = held.finish().unwrap();
        let met = |name| report.opened.get(name).copied().unwrap_or(0);
        let lost: u32 = report.lost.values().sum();
        // Each time a pod goes, each of its sockets loses one question: the one that tells.
        assert!(met("kubia-1") > 0 && met("kubia-2") > 0, "{report:?}");
        assert!(lost >= met("kubia-1") + met("kubia-2"), "{report:?}");
        assert!(lost <= 2 * met("kubia-1") + met("kubia-2"), "{report:?}");
        assert!(!report.lost.contains_key("timed out"), "{report:?}");
        assert!(report.moved > lost, "{report:?}");
    }
    for held in direct {
        let report = held.finish().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

/// Sockets that are kept until they tell an error.
fn resolve(from: &Host, to: SocketAddr) -> Held {
    let options = hold::Options { udp: true, reopen: true, ..hold::Options::to(to) };
    from.hold(&hold::Options { timeout_ms: 300, ..options.connections(40) }).unwrap()
}

fn talk(from: &Host, to: SocketAddr, connected: bool) -> Held {
    let options = hold::Options { udp: connected, datagram: !connected, ..hold::Options::to(to) };
    from.hold(&hold::Options { timeout_ms: 300, ..options.connections(20) }).unwrap()
}

/// No connection that begins later than [`PROMPT`] from now reaches `name`.
fn forgotten(from: &Host, to: SocketAddr, name: &str) {
    let removed = Instant::now();
    loop {
        let elapsed = removed.elapsed();
        let report = from.connect(&http(to, 60)).unwrap();
        assert!(report.errors.is_empty(), "{report:?}");
        if !report.replies.contains_key(name) {
            return;
        }
        assert!(elapsed < PROMPT, "{name} gets connections after {elapsed:?}: {report:?}");
    }
}

fn refuses(from: &Host, to: SocketAddr) -> bool {
    from.connect(&impatient(http(to, 1))).unwrap().errors.contains_key(REFUSED)
}

/// A refusal comes at once: nobody has to wait for a time-out.
fn impatient(options: Options) -> Options {
    Options { timeout_ms: 500, ..options }
}
