//! The cluster's DNS is answered by the agent of the node while that is there, and by the cluster's
//! pods else; nobody has to notice.

use crate::chain::at;
use crate::patience::eventually;
use crate::stage::{Stage, UDP as DNS};
use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;
use xtask::lab::Host;
use xtask::lab::traffic::ask::{KNOWN, Options, Report, answered, question};

const MANIFEST: &str = include_str!("manifests/cluster-dns.yaml");
const VIP: [&str; 2] = ["10.96.0.10", "fd00:10:96::a"];
/// On a port that nothing else of the node wants.
const FLAGS: [&str; 6] = [
    "--dns-listen=192.0.2.2:10053,[2001:db8:1::2]:10053",
    "--dns-service",
    "kube-system/kube-dns",
    "--dns-upstream",
    "192.0.2.10",
    "--dns-ttl=5",
];
/// Any name that is there.
const NAME: &str = "web.default.svc.cluster.local";

/// Who answers else.
const PODS: [&str; 2] = ["kubia-1", "kubia-2"];

/// What came of a hundred questions or more.
fn ask(from: &Host, to: SocketAddr) -> Report {
    let asking = from.ask(&Options { pause_ms: 1, ..Options::new(to, NAME) }).unwrap();
    thread::sleep(Duration::from_millis(150));
    asking.finish().unwrap()
}

fn by_agent(report: &Report) -> u32 {
    report.answers.get(KNOWN).copied().unwrap_or_default()
}

fn by_pods(report: &Report) -> u32 {
    PODS.iter().filter_map(|pod| report.answers.get(*pod)).sum()
}

/// What a pod gets by TCP.
fn ask_by_tcp(from: &Host, to: SocketAddr) -> Result<String> {
    from.within(|| {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let question = question(NAME)?;
        let length = u16::try_from(question.len())?.to_be_bytes();
        stream.write_all(&[&length[..], &question].concat())?;
        let mut answer = [0; 1500];
        let length = stream.read(&mut answer)?;
        Ok(answered(answer.get(2..length).context("too short")?)?)
    })
}

fn stage() -> Stage {
    let stage = Stage::with_files(&[("cluster-dns.yaml", MANIFEST)], &FLAGS);
    // Its proof takes half a second.
    all_by(&stage, by_agent);
    stage
}

/// Waits until all clients of the node get all answers from there.
fn all_by(stage: &Stage, answers: fn(&Report) -> u32) {
    for to in at(VIP, DNS) {
        for client in [&stage.network.shell, &stage.network.node] {
            eventually(&format!("{} is answered by another at {to}", client.name()), || {
                let report = ask(client, to);
                answers(&report) == report.asked()
            });
        }
    }
}

fn explained(stage: &Stage) -> Value {
    let explained = stage.lbctl(&["explain", "service", "kube-system/kube-dns"]);
    assert_eq!(explained["differences"], 0, "{explained:#}");
    explained
}

#[test]
fn clients_of_the_node_are_answered_by_the_agent_and_others_by_the_clusters_pods() {
    let stage = stage();
    for to in at(VIP, DNS) {
        assert_eq!(ask_by_tcp(&stage.network.shell, to).unwrap(), KNOWN, "{to}");
        let outside = ask(&stage.network.client, to);
        assert_eq!(by_pods(&outside), outside.asked(), "{to}: {outside:?}");
    }
    let first = &explained(&stage)["ports"][0]["rules"]["name_server"]["address"];
    assert_eq!(first, "192.0.2.2:10053");
    for from in ["192.0.2.2", "10.244.0.20"] {
        let arguments = ["trace", "--from", from, "--to", "10.96.0.10:53", "--proto", "udp"];
        let traced = stage.lbctl(&arguments);
        assert!(traced.to_string().contains("192.0.2.2:10053"), "{traced:#}");
    }
}

/// As some CNIs give them: in no range that anybody has named.
#[test]
fn a_pod_whose_address_is_in_no_range_is_answered_by_the_agent_too() {
    let stage = stage();
    let (node, shell) = (&stage.network.node, &stage.network.shell);
    shell.address("eth0", "100.64.0.7/32").unwrap();
    node.route_onto("100.64.0.7/32", "br0").unwrap();
    let [to, _] = at(VIP, DNS);
    let socket = shell.within(|| Ok(UdpSocket::bind(("100.64.0.7", 0))?)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send_to(&question(NAME).unwrap(), to).unwrap();
    let mut answer = [0; 1500];
    let (length, from) = socket.recv_from(&mut answer).unwrap();
    assert_eq!((answered(&answer[..length]).unwrap().as_str(), from), (KNOWN, to));
}

#[test]
fn an_agent_that_hangs_is_left_alone() {
    let mut stage = stage();
    stage.signal(Signal::SIGSTOP);
    all_by(&stage, by_pods);
    stage.signal(Signal::SIGCONT);
    all_by(&stage, by_agent);
}

#[test]
fn a_killed_agent_loses_the_questions_in_flight_and_no_other() {
    let mut stage = stage();
    let [shell, node, _] = stage.clients();
    let [v4, v6] = at(VIP, DNS);
    let ways = [(shell, v4, true), (shell, v6, false), (node, v4, false), (node, v6, true)];
    let asking = ways.map(|(from, to, same)| {
        let options = Options { same, ..Options::new(to, NAME) };
        (from.ask(&options).unwrap(), format!("{} to {to}, one socket: {same}", from.name()))
    });
    thread::sleep(Duration::from_secs(1));
    stage.kill();
    thread::sleep(Duration::from_secs(1));
    stage.start();
    all_by(&stage, by_agent);
    for (asking, about) in asking {
        let report = asking.finish().unwrap();
        // One question at a time is in flight, and none is answered by an agent that knows nothing.
        let lost: u32 = report.lost.values().sum();
        let (own, pods) = (by_agent(&report), by_pods(&report));
        assert!(lost <= 1 && own + pods + lost == report.asked(), "{about}: {report:?}");
        assert!(own > 100 && pods > 100, "{about}: {report:?}");
    }
}

#[test]
fn a_socket_that_pods_have_answered_is_answered_by_the_agent_when_that_is_back() {
    let mut stage = stage();
    stage.signal(Signal::SIGSTOP);
    all_by(&stage, by_pods);
    let [shell, node, _] = stage.clients();
    let asking = [shell, node].map(|from| {
        at(VIP, DNS).map(|to| from.ask(&Options { same: true, ..Options::new(to, NAME) }).unwrap())
    });
    thread::sleep(Duration::from_millis(100));
    stage.signal(Signal::SIGCONT);
    all_by(&stage, by_agent);
    for asking in asking.into_iter().flatten() {
        let report = asking.finish().unwrap();
        assert!(by_pods(&report) > 0 && by_agent(&report) > 0, "{report:?}");
        assert!(report.lost.is_empty(), "{report:?}");
    }
}

#[test]
fn an_agent_without_the_flag_leaves_the_name_to_the_cluster() {
    let mut stage = stage();
    stage.stop();
    all_by(&stage, by_pods);
    stage.start_with(&[]);
    all_by(&stage, by_pods);
    assert_eq!(explained(&stage)["ports"][0]["rules"]["name_server"], Value::Null);
}
