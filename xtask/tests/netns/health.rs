//! A load balancer outside asks the node whether it has endpoints.

use crate::patience::{LONG, eventually};
use crate::stage::{PODS, Stage, node_ports};
use crate::web::get;
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use xtask::lab::agent::built;
use xtask::lab::{Host, Process};

const ASKED: &str = include_str!("manifests/asked.yaml");
/// The `healthCheckNodePort` in there.
const PORT: u16 = 31999;

#[test]
fn a_load_balancer_is_told_how_many_pods_the_node_has() {
    let mut stage = Stage::idle();
    stage.write("asked.yaml", ASKED);
    let taken = stage.network.node.within(|| Ok(TcpListener::bind(("0.0.0.0", PORT))?)).unwrap();
    stage.start();
    stage.await_problem(&["Service default/asked", "spec.healthCheckNodePort", "0.0.0.0:31999"]);
    let [v4, v6] = node_ports(PORT);
    let client = stage.network.client.clone();
    assert_eq!(told(&client, v6), Some((200, 3)));
    drop(taken);
    eventually("a port that is free again is opened", || told(&client, v4) == Some((200, 3)));
    eventually("the problem is gone", || stage.problems().is_empty());

    for name in PODS {
        stage.remove(&format!("pod-{name}.yaml"));
    }
    for to in [v4, v6] {
        eventually("no pod is left", || told(&client, to) == Some((503, 0)));
    }
    stage.example("pod-kubia-2.yaml");
    eventually("one pod is there", || told(&client, v4) == Some((200, 1)));

    stage.write("asked.yaml", &ASKED.replace("31999", "31998"));
    let [moved, _] = node_ports(PORT - 1);
    eventually("the port has moved", || told(&client, moved) == Some((200, 1)));
    assert_eq!((told(&client, v4), told(&client, v6)), (None, None));
    stage.remove("asked.yaml");
    eventually("a Service that is gone is not asked about", || told(&client, moved).is_none());
}

#[test]
fn a_node_whose_kernel_refuses_writes_is_unavailable() {
    let stage =
        Stage::with_files(&[("asked.yaml", ASKED)], &["--nodeport-addresses", "192.0.2.0/24"]);
    let client = stage.network.client.clone();
    let [v4, _] = node_ports(PORT);
    assert_eq!(told(&client, v4), Some((200, 3)));
    assert_eq!(told(&stage.network.shell, "10.244.0.1:31999".parse().unwrap()), None);

    // What is pinned for a link that does not exist is removed; a folder cannot be.
    let pin = stage.network.node.bpffs().unwrap().join("v2/links/lb_tc_ingress-9999");
    fs::create_dir(&pin).unwrap();
    stage.network.node.address("lo", "198.18.0.1/32").unwrap();
    eventually("the proxy is not healthy", || told(&client, v4) == Some((503, 3)));
    let (_, body) = ask(&client, v4).unwrap();
    let service = json!({ "namespace": "default", "name": "asked" });
    let expected = json!({ "service": service, "localEndpoints": 3, "serviceProxyHealthy": false });
    assert_eq!(body, expected);
    fs::remove_dir(&pin).unwrap();
    eventually("it is healthy again", || told(&client, v4) == Some((200, 3)));
}

/// The status and the number of endpoints; `None`: nobody answers.
fn told(from: &Host, to: SocketAddr) -> Option<(u16, u64)> {
    let (status, body) = ask(from, to).ok()?;
    Some((status, body["localEndpoints"].as_u64().unwrap()))
}

fn ask(from: &Host, to: SocketAddr) -> anyhow::Result<(u16, Value)> {
    let (status, body) = get(from, to, "/healthz")?;
    Ok((status, serde_json::from_str(&body)?))
}

/// Packets find their way without an agent: nobody has to turn away while it is replaced.
#[test]
fn a_process_of_its_own_answers_while_the_agent_is_away() {
    let mut stage = Stage::idle();
    stage.write("asked.yaml", ASKED);
    let mut health = answering(&stage);
    health.wait_for("ready", LONG).unwrap();
    stage.start();
    let client = stage.network.client.clone();
    let ([v4, v6], [healthz, _]) = (node_ports(PORT), node_ports(10256));
    for to in [v4, v6] {
        eventually("the numbers are told", || told(&client, to) == Some((200, 3)));
    }
    assert_eq!(ask(&client, healthz).unwrap().0, 200);
    stage.kill();
    for to in [v4, v6] {
        assert_eq!(told(&client, to), Some((200, 3)));
    }
    assert_eq!(ask(&client, healthz).unwrap().0, 200);
    stage.start();
    stage.remove("pod-kubia-1.yaml");
    eventually("the next agent is heard", || told(&client, v4) == Some((200, 2)));
    let mut next = answering(&stage);
    assert!(next.wait_for("ready", Duration::from_millis(300)).is_err(), "it waits for its turn");
    drop(health);
    next.wait_for("ready", LONG).unwrap();
    assert_eq!(told(&client, v4), Some((200, 2)), "the next one answers as soon as it is ready");
    drop(next);
    eventually("the agent answers in its place", || told(&client, v4) == Some((200, 2)));
    stage.remove("pod-kubia-2.yaml");
    eventually("and goes on", || told(&client, v4) == Some((200, 1)));
}

/// A process that answers for the agent of this stage.
fn answering(stage: &Stage) -> Process {
    let program = stage.network.node.program(built("lb-agent").unwrap()).args(["health"]);
    program.args(["--state-dir".into(), stage.state()]).spawn().unwrap()
}
