//! Packets, flows and sequences: right expectations pass, wrong ones are told.

use crate::{changed, example, judged};
use lb_userspace::compile::node::SnatMode;
use lb_userspace::simulate::Simulator;
use serde_json::{Value, json};

#[test]
fn wrong_expectations_are_noticed() {
    let both = json!(["10.244.1.11:8080", "10.244.2.12:8080"]);
    let cases = [
        ("/packets/0/expect/verdict", json!("pass"), "expected pass, was dnat"),
        ("/packets/0/expect/backends", json!(["10.244.1.11:8080"]), "extra    10.244.2.12:8080"),
        (
            "/packets/0/expect/backends/1",
            json!("10.244.2.13:8080"),
            "missing  10.244.2.13:8080; extra    10.244.2.12:8080",
        ),
        (
            "/packets/0/expect/snat",
            json!(true),
            "snat     10.244.1.11:8080 saw 10.244.1.20, expected an address of the node; snat     \
             10.244.2.12:8080 saw 10.244.1.20, expected an address of the node",
        ),
        (
            "/packets/0/expect/snatFor",
            json!(["10.244.2.12:8080"]),
            "snat     10.244.2.12:8080 saw 10.244.1.20, expected an address of the node",
        ),
        (
            "/packets/0/expect/affinity",
            json!(60),
            "a client that came back within 60 s was sent elsewhere",
        ),
        ("/packets/1/expect/verdict", json!("reject"), "expected reject, was dnat"),
        ("/packets/2/expect/backends", both, "missing  10.244.2.12:8080"),
        ("/packets/3/expect/verdict", json!("drop"), "expected drop, was pass"),
        ("/then/0/packets/0/expect/verdict", json!("reject"), "expected reject, was drop"),
        ("/then/0/restart", json!(true), ""),
    ];
    let mut simulator = Simulator::start(SnatMode::Minimal).unwrap();
    for (pointer, value, told) in cases {
        let report = judged(&mut simulator, &changed(pointer, value));
        let failed = report.checks.iter().filter(|check| !check.ok);
        let differences: Vec<String> = failed.map(|check| check.differences.join("; ")).collect();
        assert_eq!(differences.join(" | "), told, "{pointer}");
    }
    let mut right_as_well = changed("/packets/3/expect/verdict", json!("reject"));
    right_as_well["packets"][3]["alsoAccept"] = json!([{"verdict": "pass", "by": "somebody"}]);
    assert_eq!(judged(&mut simulator, &right_as_well).failed, 0);
}

/// A sequence of one client to the example's Service: ids, moments, expectations.
fn sequence(affinity: &str, entries: &[(&str, u32, Value)]) -> Value {
    let mut scenario = changed("/objects/0/spec/sessionAffinity", json!(affinity));
    let entry = |(id, at, expect): &(&str, u32, Value)| {
        json!({
            "id": id, "atSeconds": at, "srcIP": "10.244.1.20", "proto": "TCP",
            "dstIP": "10.96.0.10", "dstPort": 80, "expect": expect
        })
    };
    scenario["sequence"] = entries.iter().map(entry).collect();
    scenario["packets"] = json!([]);
    scenario["then"] = json!([]);
    scenario
}

#[test]
fn time_passes_in_a_sequence() {
    let any = json!({"verdict": "dnat"});
    let same = json!({"verdict": "dnat", "sameBackendAs": "a"});
    let many: Vec<(&str, u32, Value)> = (1..20).map(|n| ("b", n * 10_799, same.clone())).collect();
    let late: Vec<(&str, u32, Value)> = (1..20).map(|n| ("b", n * 10_801, same.clone())).collect();
    let first = [("a", 0, any)];
    let mut simulator = Simulator::start(SnatMode::Minimal).unwrap();
    let mut failed = |affinity, rest: &[(&str, u32, Value)]| {
        judged(&mut simulator, &sequence(affinity, &[&first, rest].concat())).failed
    };
    assert_eq!(failed("ClientIP", &many), 0, "each connection renews the time");
    assert_ne!(failed("ClientIP", &late), 0, "the time has passed");
    assert_ne!(failed("None", &many), 0, "nobody is remembered");
}

#[test]
fn flows_are_kept_or_not() {
    let mut scenario = example();
    scenario["packets"] = json!([]);
    scenario["then"] = json!([]);
    let flow = |port: u16, from: &str, expect: &str| {
        json!({
            "proto": "TCP", "origDstIP": "10.96.0.10", "origDstPort": port,
            "replySrcIP": from, "replySrcPort": 8080, "expect": expect
        })
    };
    // TCP outlives its backend; port 81 is none of ours.
    scenario["flows"] = json!([
        flow(80, "10.244.1.11", "keep"),
        flow(80, "10.244.7.7", "keep"),
        flow(81, "10.244.7.7", "keep"),
        flow(80, "10.244.7.8", "delete"),
    ]);
    let report = judged(&mut Simulator::start(SnatMode::Always).unwrap(), &scenario);
    let oks: Vec<bool> = report.checks.iter().map(|check| check.ok).collect();
    assert_eq!(oks, [true, true, true, false]);
    let told = "expected delete, its next packet goes to 10.244.7.8:8080";
    assert_eq!(report.checks[3].differences, [told]);
}
