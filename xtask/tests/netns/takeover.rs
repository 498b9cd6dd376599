//! From kube-proxy's rules to the agent: connections that the rules translated live on, new ones
//! are ours.

use crate::expect::{answer, http};
use crate::patience::within;
use crate::stage::{HTTP, NODE_HTTP, NODE_UDP, PODS, Stage, UDP, node_ports, vips};
use rustix::net::sockopt::{set_socket_linger, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;
use xtask::lab::Host;
use xtask::lab::agent::program;
use xtask::lab::kubia::SERVICE_CIDRS;
use xtask::lab::traffic::Held;
use xtask::lab::traffic::hold::Options;
use xtask::workspace;

/// Connections of each kind that are held.
const EACH: u32 = 10;
/// Longer than it takes the agent to look twice for connections that have ended.
const TWO_LOOKS: Duration = Duration::from_secs(45);

/// The node with kube-proxy's rules; the agent has not been started.
fn with_rules() -> Stage {
    let stage = Stage::idle();
    let rules = workspace::root().join("xtask/tests/netns/manifests/kube-proxy.nft");
    nft(&stage.network.node, &["-f", &rules.display().to_string()]);
    // Answers of one pod to another are switched by the bridge; the rules have to see them.
    for family in ["iptables", "ip6tables"] {
        let key = format!("net.bridge.bridge-nf-call-{family}");
        stage.network.node.sysctl(&key, "1").unwrap();
    }
    // netfilter forgets what has ended sooner than it usually does.
    for kind in ["udp_timeout", "udp_timeout_stream", "tcp_timeout_time_wait"] {
        stage.network.node.sysctl(&format!("net.netfilter.nf_conntrack_{kind}"), "3").unwrap();
    }
    // The node's own processes need a way out before the rules can show them another.
    for services in SERVICE_CIDRS {
        stage.network.node.route_onto(services, "br0").unwrap();
    }
    stage
}

fn nft(node: &Host, arguments: &[&str]) -> String {
    node.program(Path::new("nft")).args(arguments).run().unwrap()
}

/// How many connections kube-proxy's rules have led to a pod.
fn led_by_rules(stage: &Stage) -> u64 {
    let rules = nft(&stage.network.node, &["-j", "list", "ruleset"]);
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let rules = rules["nftables"].as_array().unwrap().iter();
    let expressions = rules.filter_map(|rule| rule["rule"]["expr"].as_array()).flatten();
    expressions.filter_map(|expression| expression["counter"]["packets"].as_u64()).sum()
}

fn hold(from: &Host, to: SocketAddr, udp: bool) -> Held {
    from.hold(&Options { udp, ..Options::to(to).connections(EACH) }).unwrap()
}

/// Connections of a pod, of the node, and from outside, of both families.
fn hold_all(stage: &Stage) -> Vec<Held> {
    let [shell, node, client] = stage.clients();
    let mut held = Vec::new();
    for family in [0, 1] {
        held.push(hold(shell, vips(HTTP)[family], false));
        held.push(hold(shell, vips(UDP)[family], true));
        held.push(hold(node, vips(HTTP)[family], false));
        held.push(hold(client, node_ports(NODE_HTTP)[family], false));
        held.push(hold(client, node_ports(NODE_UDP)[family], true));
    }
    held
}

/// Connections that are left to another proxy, as the agent counts them.
fn left(stage: &Stage) -> u64 {
    stage.status()["foreign_connections"].as_u64().unwrap()
}

#[test]
fn connections_that_rules_translated_live_on_and_new_ones_are_ours() {
    let mut stage = with_rules();
    let held = hold_all(&stage);
    let all = u64::from(EACH) * held.len() as u64;
    stage.start();
    assert_eq!(left(&stage), all);
    let before = led_by_rules(&stage);
    assert_eq!(before, all);
    new_connections_are_ours(&stage);
    assert_eq!(led_by_rules(&stage), before, "the rules were asked for new connections");
    foreign_flows_are_listed(&stage, all);
    for held in held {
        let report = held.finish().unwrap();
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.opened.values().sum::<u32>(), EACH, "{report:?}");
        assert!(report.answers > EACH * 10, "{report:?}");
    }
    within(TWO_LOOKS, "the agent notices that none is left", || left(&stage) == 0);
    within(TWO_LOOKS, "nothing is left of them", || foreign(&stage).is_empty());
}

fn new_connections_are_ours(stage: &Stage) {
    for client in stage.clients() {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            answer(client, &http(to, 40), &PODS);
        }
    }
    // Three clients, four ways, forty each.
    assert!(connections(stage) >= 480);
}

/// How many connections are ours.
fn connections(stage: &Stage) -> u64 {
    let services = stage.lbctl(&["get", "services"]);
    let services = services["items"].as_array().unwrap().iter();
    services.filter_map(|service| service["traffic"]["connections"].as_u64()).sum()
}

/// The forward halves of flows that are left alone.
fn foreign(stage: &Stage) -> Vec<Value> {
    let flows = stage.lbctl(&["get", "conntrack"]);
    let flows = flows["items"].as_array().unwrap().iter();
    flows.filter(|flow| flow["foreign"] == true && flow["half"] == "forward").cloned().collect()
}

fn foreign_flows_are_listed(stage: &Stage, count: u64) {
    let foreign = foreign(stage);
    assert_eq!(foreign.len() as u64, count);
    assert!(foreign.iter().all(|flow| flow["service"]["name"] == "web"), "{foreign:#?}");
}

#[test]
fn connections_that_begin_while_the_agent_starts_live_too() {
    let mut stage = with_rules();
    let [shell, _, client] = stage.clients().map(Host::clone);
    let held = shell.hold(&Options::to(vips(HTTP)[0]).connections(500)).unwrap();
    let ways = [(&shell, vips(HTTP)), (&client, node_ports(NODE_HTTP))];
    thread::scope(|scope| {
        for (from, to) in ways.into_iter().flat_map(|(from, to)| to.map(|to| (from, to))) {
            scope.spawn(move || answer(from, &http(to, 12_000), &PODS));
        }
        stage.start();
    });
    let (by_rules, by_us) = (led_by_rules(&stage), connections(&stage));
    assert!(by_rules > 600 && by_us > 100, "no race: {by_rules} by rules, {by_us} by us");
    let report = held.finish().unwrap();
    assert!(report.is_whole() && report.opened.values().sum::<u32>() == 500, "{report:?}");
}

#[test]
fn the_next_agent_goes_on_waiting_for_them() {
    let mut stage = with_rules();
    let held = hold(&stage.network.shell, vips(HTTP)[0], false);
    stage.start();
    stage.kill();
    stage.start();
    within(TWO_LOOKS, "it counts them", || stage.status()["foreign_connections"] == EACH);
    let report = held.finish().unwrap();
    assert!(report.is_whole(), "{report:?}");
    within(TWO_LOOKS, "it notices that they have ended", || left(&stage) == 0);
}

/// Connects from a port of its own; the end of the connection is a reset, which leaves nothing.
fn connect(from: &Host, port: u16, to: SocketAddr) -> TcpStream {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
    let own = SocketAddr::new(any.parse().unwrap(), port);
    let connect = || {
        // The agent must not inherit it, or it stays open.
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        set_socket_linger(&socket, Some(Duration::ZERO))?;
        rustix::net::bind(&socket, &own)?;
        rustix::net::connect(&socket, &to)?;
        Ok(TcpStream::from(socket))
    };
    let stream = from.within(connect).unwrap_or_else(|error| panic!("{port} to {to}: {error:#}"));
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Who answers.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: lab\r\n\r\n").unwrap();
    let mut answer = [0; 1024];
    let len = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
    answer.lines().last().unwrap().to_owned()
}

#[test]
fn the_same_ports_are_ours_when_the_connection_has_ended() {
    const PORT: u16 = 40_123;
    let mut stage = with_rules();
    let [shell, _, client] = stage.clients().map(Host::clone);
    let ways: Vec<_> = [(&shell, vips(HTTP)), (&client, node_ports(NODE_HTTP))]
        .into_iter()
        .flat_map(|(from, to)| to.map(|to| (from, to)))
        .collect();
    let mut old: Vec<_> = ways.iter().map(|(from, to)| connect(from, PORT, *to)).collect();
    let names: Vec<_> = old.iter_mut().map(ask).collect();
    stage.start();
    assert_eq!(old.iter_mut().map(ask).collect::<Vec<_>>(), names);
    assert_eq!(foreign(&stage).len(), ways.len());
    drop(old);
    let before = led_by_rules(&stage);
    for (from, to) in &ways {
        ask(&mut connect(from, PORT, *to));
    }
    assert_eq!(led_by_rules(&stage), before);
    assert_eq!(foreign(&stage), [] as [Value; 0]);
}

#[test]
fn a_node_without_another_proxy_has_nothing_to_wait_for() {
    let stage = Stage::new();
    assert_eq!(left(&stage), 0);
}

/// What `lb-agent run --shadow --once` says, and whether it found no difference.
fn shadow(stage: &Stage) -> (String, bool) {
    let agent = program(&stage.network.node, stage.manifests()).unwrap();
    match agent.args(["--shadow", "--once"]).run() {
        Ok(said) => (said, true),
        Err(error) => (format!("{error:#}"), false),
    }
}

#[test]
fn a_shadow_compares_and_touches_nothing() {
    let stage = with_rules();
    let (said, alike) = shadow(&stage);
    assert!(
        alike && said.contains("12 frontends, no difference; kube-proxy runs in nftables mode"),
        "{said}"
    );
    stage.write("late.yaml", include_str!("manifests/late.yaml"));
    let (said, alike) = shadow(&stage);
    let difference =
        "10.96.0.21:80/TCP  10.244.0.11:8080,10.244.0.12:8080,10.244.0.13:8080  <none>";
    assert!(!alike && said.contains("13 frontends, 1 differs"), "{said}");
    assert!(said.contains(difference), "{said}");
    assert!(stage.pins().is_empty());
}
