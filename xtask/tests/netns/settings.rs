//! Settings in a file, which changes while the agent runs.

use crate::expect::{answer, http};
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, node_ports, vips};
use std::fs;
use xtask::lab::traffic::hold::Options;

#[test]
fn a_changed_file_starts_the_agent_anew_in_place() {
    let mut stage = Stage::idle();
    let file = stage.state().with_file_name("lb.yaml");
    let write = |text: &str| {
        let draft = file.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &file).unwrap();
    };
    write("snat: minimal\n");
    stage.start_with(&["--config", file.to_str().unwrap()]);
    let (shell, client) = (stage.network.shell.clone(), stage.network.client.clone());
    let [node_port, _] = node_ports(NODE_HTTP);
    answer(&client, &http(node_port, 60), &PODS);
    let pid = stage.status()["pid"].clone();
    let held = shell.hold(&Options::to(vips(HTTP)[0])).unwrap();

    write("nodeport-addresses: [198.51.100.0/24]\n");
    let asked = || client.connect(&http(node_port, 1)).unwrap();
    eventually("the node port is not served any more", || asked().replies.is_empty());
    eventually("it is ready", || stage.status()["synced"] == true);
    assert_eq!(stage.status()["pid"], pid);

    write("nodeport-adresses: [192.0.2.0/24]\n");
    stage.await_problem(&[
        "lb.yaml",
        "nodeport-adresses",
        "perhaps \"nodeport-addresses\" is meant",
    ]);
    // Each may be; together with the rest it makes no sense.
    write("masquerade-all: true\n");
    stage.await_problem(&["lb.yaml", "--masquerade-all needs --snat always"]);
    assert!(asked().replies.is_empty(), "the settings from before hold");

    write("snat: minimal\n");
    eventually("the node port is served again", || !asked().replies.is_empty());
    eventually("the problem is gone", || stage.problems().is_empty());
    assert_eq!(stage.status()["pid"], pid);
    let report = held.finish().unwrap();
    assert!(report.is_whole(), "{report:?}");
}
