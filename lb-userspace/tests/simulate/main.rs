//! `lbctl simulate`: files in, lines and exit codes out; and a judge that is not taken in by wrong
//! expectations.
//!
//! The scenario is the one of `docs/simulate.md`, so the guide is right. Needs root; leaves nothing
//! behind.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

/// What people type and see.
mod command;
/// Files that cannot be read.
mod read;
/// Packets, flows and sequences.
mod traffic;
/// What the agent knows.
mod facts;

use lb_userspace::simulate::{Report, Scenario, Simulator};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The user's guide.
fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulate.md");
    fs::read_to_string(path).unwrap()
}

/// The scenario in it.
fn example() -> Value {
    let guide = guide();
    let (_, rest) = guide.split_once("```json\n").unwrap();
    let (json, _) = rest.split_once("```").unwrap();
    serde_json::from_str(json).unwrap()
}

/// The example with the value at `pointer` replaced.
fn changed(pointer: &str, value: Value) -> Value {
    let mut scenario = example();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = scenario.pointer_mut(parent).unwrap_or_else(|| panic!("no {pointer}"));
    match field.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[field] = value,
    }
    scenario
}

fn judged(simulator: &mut Simulator, scenario: &Value) -> Report {
    simulator.run(Scenario::read("test", &scenario.to_string()).unwrap()).unwrap()
}
