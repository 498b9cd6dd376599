//! Manifests that are wrong: the agent goes on, says where, and serves the rest.

use crate::expect::{answer, fails, http};
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, node_ports, vips};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use xtask::lab::traffic::connect::Options;

/// A file, what is wrong with it, and the words that say so.
type Case = (&'static str, &'static str, &'static [&'static str]);

const WRONG: [Case; 8] = [
    ("broken.yaml", "apiVersion: v1\nkind: [Service\n", &["broken.yaml", "document 1"]),
    (
        "second.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: first}\n\
         spec: {clusterIP: 10.96.0.60, selector: {app: kubia}, ports: [{port: 80, targetPort: 8080}]}\n\
         ---\nkind: {\n",
        &["second.yaml", "document 2"],
    ),
    (
        "unknown.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: unknown}\n\
         spec: {clusterIP: 10.96.0.61, selector: {app: kubia}, prots: [], ports: [{port: 80, targetPort: 8080}]}\n",
        &["unknown.yaml", "spec.prots"],
    ),
    (
        "same-address.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: same-address}\n\
         spec: {clusterIP: 10.96.0.20, selector: {app: nobody}, ports: [{port: 80}]}\n",
        &["same-address", "10.96.0.20"],
    ),
    (
        "same-port.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: same-port}\n\
         spec: {type: NodePort, clusterIP: 10.96.0.62, selector: {app: nobody}, ports: [{port: 80, nodePort: 30080}]}\n",
        &["same-port", "30080"],
    ),
    (
        "zero.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: zero}\n\
         spec: {clusterIP: 10.96.0.63, selector: {app: kubia}, ports: [{port: 0}]}\n",
        &["zero", "spec.ports[0].port"],
    ),
    (
        "address.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: address}\n\
         spec: {clusterIP: 10.96.0.300, selector: {app: kubia}, ports: [{port: 80}]}\n",
        &["address", "spec.clusterIP", "10.96.0.300"],
    ),
    (
        "lonely.yaml",
        "apiVersion: v1\nkind: Endpoints\nmetadata: {name: lonely}\n\
         subsets: [{addresses: [{ip: 11.11.11.11}], ports: [{port: 80}]}]\n",
        &["lonely", "Service"],
    ),
];

#[test]
fn wrong_manifests_are_named_and_the_rest_is_served() {
    let stage = Stage::new();
    for (file, text, _) in WRONG {
        stage.write(file, text);
    }
    for (_, _, words) in WRONG {
        stage.await_problem(words);
    }
    everybody_is_served(&stage);
    // What is right about a file with a wrong document or field is served too.
    for to in ["10.96.0.60:80", "10.96.0.61:80"] {
        answer(&stage.network.shell, &http(to.parse().unwrap(), 60), &PODS);
    }
    for (file, _, _) in WRONG {
        stage.remove(file);
    }
    eventually("nothing is wrong any more", || stage.problems().is_empty());
    everybody_is_served(&stage);
}

#[test]
fn a_folder_that_disappears_changes_nothing_until_it_is_back() {
    let stage = Stage::new();
    let hidden = stage.manifests().with_file_name("hidden");
    fs::rename(stage.manifests(), &hidden).unwrap();
    stage.await_problem(&["cannot be listed"]);
    everybody_is_served(&stage);
    fs::remove_file(hidden.join("pod-kubia-2.yaml")).unwrap();
    fs::rename(&hidden, stage.manifests()).unwrap();
    eventually("what changed meanwhile is seen", || {
        let report = stage.network.shell.connect(&http(vips(HTTP)[0], 40)).unwrap();
        report.replies.keys().eq(["kubia-1", "kubia-3"])
    });
    eventually("the folder is no problem any more", || stage.problems().is_empty());
}

#[test]
fn addresses_and_ports_that_were_given_stay_over_restarts() {
    let mut stage = Stage::idle();
    stage.write("given.yaml", include_str!("manifests/given.yaml"));
    stage.start();
    let given = given(&stage, "given");
    stage.kill();
    // A Service that would come first if addresses were given again.
    stage.write("aaa.yaml", &include_str!("manifests/given.yaml").replace("given", "aaa"));
    stage.start();
    assert_eq!(self::given(&stage, "given"), given);
    stage.stop();
    stage.start();
    assert_eq!(self::given(&stage, "given"), given);
    let other = self::given(&stage, "aaa");
    assert!(other[0] != given[0] && other[1] != given[1], "{given:?} {other:?}");
    for client in stage.clients() {
        for to in given {
            answer(client, &http(to, 60), &PODS);
        }
    }
    stage.remove("given.yaml");
    eventually("a port that is given back is nobody's", || {
        stage.network.client.connect(&http(given[1], 1)).unwrap().replies.is_empty()
    });
    let options = Options { timeout_ms: 500, ..http(given[1], 1) };
    fails(&stage.network.client, &options, &["connection refused"]);
}

/// The address and the port of the node that a Service was given.
fn given(stage: &Stage, name: &str) -> [SocketAddr; 2] {
    let services = stage.lbctl(&["get", "services"]);
    let mut services = services["items"].as_array().unwrap().iter();
    let named = |service: &&Value| service["name"] == name;
    let service = services.find(named).unwrap_or_else(|| panic!("no Service {name}"));
    let address = service.pointer("/cluster_ips/0").unwrap().as_str().unwrap();
    let port = service.pointer("/ports/0/node_port").unwrap().as_u64().unwrap();
    let [node, _] = node_ports(u16::try_from(port).unwrap());
    [SocketAddr::new(address.parse().unwrap(), 80), node]
}

fn everybody_is_served(stage: &Stage) {
    for client in stage.clients() {
        answer(client, &http(vips(HTTP)[0], 60), &PODS);
        answer(client, &http(node_ports(NODE_HTTP)[1], 60), &PODS);
    }
}
