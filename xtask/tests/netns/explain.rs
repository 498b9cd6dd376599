//! `lbctl explain`: the reasons of the running agent, beside what is in the maps.

use crate::patience::eventually;
use crate::stage::Stage;
use serde_json::{Value, json};

const SERVICE: &str = "default/explained";

#[test]
fn every_endpoint_is_explained_by_the_agent_and_found_in_the_maps() {
    let file = ("explained.yaml", include_str!("manifests/explained.yaml"));
    let mut stage = Stage::with_files(&[file], &[]);
    let explained = explain(&stage);
    assert_eq!(explained["agent"], "answered", "{explained:#}");
    assert_eq!(explained["differences"], 0, "{explained:#}");
    let port = &explained["ports"][0];
    assert_eq!(port["frontends"][0]["address"], "10.96.0.90");
    assert_eq!(port["frontends"][0]["wanted"]["standing"], "programmed");
    let unused = "set_unused";
    let expected = json!([
        ["10.244.0.11", "used", unused, "ready", ["cluster"]],
        ["10.244.0.12", "not_ready", unused, "not_ready", []],
        ["10.244.0.13", "not_needed", unused, "serving_terminating", []],
        ["10.244.1.14", "used", unused, "ready", ["cluster"]],
    ]);
    assert_eq!(endpoints(port), expected);

    // Only the one that terminates is left here, and it serves.
    let gone = include_str!("manifests/explained.yaml");
    let keep = |line: &&str| !line.contains("10.244.0.11") && !line.contains("10.244.1.14");
    let lines: Vec<&str> = gone.lines().filter(keep).collect();
    stage.write("explained.yaml", &(lines.join("\n") + "\n"));
    let last = json!([
        ["10.244.0.12", "not_ready", unused, "not_ready", []],
        ["10.244.0.13", "used", unused, "serving_terminating", ["cluster"]],
    ]);
    eventually("the change is explained", || endpoints(&explain(&stage)["ports"][0]) == last);

    // A killed agent leaves its socket, an ended one does not; nobody answers either way.
    let socket = stage.state().join("agent.sock");
    stage.kill();
    assert!(socket.exists());
    down(&stage);
    stage.start();
    assert_eq!(explain(&stage)["agent"], "answered");
    stage.stop();
    assert!(!socket.exists());
    down(&stage);
}

/// The maps speak for themselves.
fn down(stage: &Stage) {
    let explained = explain(stage);
    assert_eq!(explained["agent"], "down", "{explained:#}");
    let held = explained["ports"][0]["endpoints"].as_array().unwrap();
    assert_eq!(held.len(), 2, "{explained:#}");
    assert!(held.iter().all(|one| one["wanted"].is_null() && one["differs"] == false));
}

fn explain(stage: &Stage) -> Value {
    stage.lbctl(&["explain", "service", SERVICE])
}

/// Each endpoint: its address, why it is in each set or not, its state and sets in the maps.
fn endpoints(port: &Value) -> Value {
    let all = port["endpoints"].as_array().into_iter().flatten();
    let line = |one: &Value| {
        let (joined, held) = (&one["wanted"]["outcome"]["joined"], &one["held"]);
        json!([one["address"], joined["cluster"], joined["local"], held["state"], held["used_for"]])
    };
    all.map(line).collect()
}
