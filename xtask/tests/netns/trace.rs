//! `lbctl trace`: what it tells beforehand is what happens.

use crate::expect::answered;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, UDP, node_ports, vips};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use xtask::lab::kubia::pod_addresses;
use xtask::lab::traffic::connect::Options;

/// Clients of the network: in a pod, outside.
const SHELL: [&str; 2] = ["10.244.0.20", "fd00:10:244::20"];
const CLIENT: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];

/// Ports of clients: above those that a masqueraded client keeps.
const PORTS: [u16; 4] = [41_001, 41_002, 41_003, 41_004];

#[test]
fn a_trace_tells_the_pod_that_the_connection_reaches() {
    let stage = Stage::new();
    let shell = (&stage.network.shell, SHELL);
    let client = (&stage.network.client, CLIENT);
    for ((host, own), to) in [
        (shell, vips(HTTP)),
        (shell, node_ports(NODE_HTTP)),
        (shell, vips(UDP)),
        (client, vips(HTTP)),
        (client, node_ports(NODE_HTTP)),
    ] {
        for (own, to) in own.into_iter().zip(to) {
            let udp = to.port() == UDP;
            for port in PORTS {
                let from = SocketAddr::new(own.parse().unwrap(), port);
                let told = trace(&stage, &from.to_string(), to, udp);
                assert_eq!(told["outcome"]["verdict"], "translated", "{told:#}");
                assert_eq!(step(&told, "flow")["known"], Value::Null, "{told:#}");
                let options = Options { from_port: Some(port), udp, ..Options::to(to) };
                let report = answered(host, &options);
                let pod = name_of(&told["outcome"]["packet"]["to"]);
                assert!(report.replies.keys().eq([&pod]), "{told:#}\n{report:?}");

                // Now there is a flow.
                let again = trace(&stage, &from.to_string(), to, udp);
                assert_eq!(again["outcome"]["packet"]["to"], told["outcome"]["packet"]["to"]);
            }
        }
    }
}

#[test]
fn processes_of_the_node_and_whole_crowds_are_traced_while_the_agent_is_down() {
    let mut stage = Stage::new();
    let node = ["192.0.2.2", "2001:db8:1::2"];
    stage.stop();
    for (from, way) in [(node, "process"), (SHELL, "link"), (CLIENT, "link")] {
        for (from, to) in from.into_iter().zip(vips(HTTP)) {
            let arguments = ["trace", "--from", from, "--to", &to.to_string(), "--count", "60"];
            let spread = stage.lbctl(&arguments);
            assert_eq!(spread["entry"]["by"], way, "{spread:#}");
            let pods: BTreeMap<String, u64> = spread["outcomes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| {
                    let connections = one["connections"].as_u64().unwrap();
                    (name_of(&one["outcome"]["packet"]["to"]), connections)
                })
                .collect();
            assert!(pods.keys().eq(&PODS), "{from}: {spread:#}");
            assert_eq!(pods.values().sum::<u64>(), 60);
        }
    }
    let refused = trace(&stage, node[0], "10.96.0.20:81".parse().unwrap(), false);
    assert_eq!(refused["outcome"]["reason"], "NoPort", "{refused:#}");
    assert_eq!(refused["outcome"]["verdict"], "refused", "{refused:#}");
}

fn trace(stage: &Stage, from: &str, to: SocketAddr, udp: bool) -> Value {
    let proto = if udp { "udp" } else { "tcp" };
    stage.lbctl(&["trace", "--from", from, "--to", &to.to_string(), "--proto", proto])
}

/// A step of a trace.
fn step<'a>(told: &'a Value, name: &str) -> &'a Value {
    let steps = told["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == name).unwrap_or(&Value::Null)
}

/// The pod at an address and port.
fn name_of(socket: &Value) -> String {
    let socket: SocketAddr = socket.as_str().unwrap().parse().unwrap();
    let has = |number: u8| -> bool { pod_addresses(number).contains(&socket.ip()) };
    let pods = (11..).zip(PODS);
    pods.filter(|(number, _)| has(*number)).map(|(_, name)| name.to_owned()).next().unwrap()
}
