//! What monitoring sees of a node and its traffic.

#![expect(clippy::float_cmp, reason = "counts are whole numbers: these are exact")]

use crate::expect::{answered, datagrams, fails, http};
use crate::patience::eventually;
use crate::stage::{HTTP, Stage, UDP, vips};
use crate::web::get;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

const AT: &str = "127.0.0.1:10249";
const MEASURED: &str = include_str!("manifests/measured.yaml");

/// A page of metrics.
struct Page(String);

impl Page {
    fn of(stage: &Stage) -> Self {
        let (status, text) = ask(stage, "/metrics");
        assert_eq!(status, 200, "{text}");
        Self(text)
    }

    /// The sum of all series of `name` whose labels have all of `labels`.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let series = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (own, value) = rest.rsplit_once(' ')?;
            let is_its_own = own.is_empty() || own.starts_with('{');
            (is_its_own && labels.iter().all(|label| own.contains(label))).then_some(value)
        });
        let values: Vec<f64> = series.map(|value| value.parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {name} with {labels:?} in {}", self.0);
        values.iter().sum()
    }

    /// Connections, packets and bytes of a port of the Service `web`.
    fn traffic(&self, of: &str, port: &str) -> [f64; 3] {
        let labels = [r#"namespace="default",service="web""#, port];
        ["connections", "packets", "bytes"]
            .map(|what| self.sum(&format!("lb_{of}_{what}_total"), &labels))
    }
}

fn ask(stage: &Stage, path: &str) -> (u16, String) {
    let to: SocketAddr = AT.parse().unwrap();
    get(&stage.network.node, to, path).unwrap()
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let stage = Stage::with(&["--metrics-max-backends", "100"]);
    let [shell, node, _] = stage.clients();
    for to in vips(HTTP) {
        answered(shell, &http(to, 20));
    }
    let before = Page::of(&stage);
    let whole = before.traffic("service", r#"port="http""#);
    assert_eq!(whole[0], 40.0, "{}", before.0);
    // Three packets to connect, a question, an answer, and an end at the least.
    assert!(whole[1] >= 40.0 * 7.0 && whole[2] >= whole[1] * 40.0, "{whole:?}");
    assert_eq!(before.traffic("backend", r#"port="http""#), whole);

    answered(shell, &datagrams(vips(UDP)[0], 30));
    answered(node, &http(vips(HTTP)[0], 10));
    fails(shell, &http("10.96.0.20:81".parse().unwrap(), 1), &["connection refused"]);
    let after = Page::of(&stage);
    let [connections, packets, bytes] = after.traffic("service", r#"port="udp""#);
    assert_eq!((connections, packets), (30.0, 60.0));
    // IPv4, UDP, 32 bytes that are asked with; the answers are longer.
    assert!(bytes > 60.0 * (20.0 + 8.0 + 32.0), "{bytes}");
    // A process of the node connects to the endpoint itself: its packets are not touched.
    let [connections, packets, bytes] = after.traffic("service", r#"port="http""#);
    assert_eq!([connections - 10.0, packets, bytes], whole);
    let refused =
        |page: &Page| page.sum("lb_datapath_answered_packets_total", &[r#"reason="NoPort""#]);
    assert_eq!(refused(&after) - refused(&before), 1.0);

    // Three ports in two families, of the node's three pods each.
    let entries = |map| after.sum("lb_map_entries", &[map]);
    assert_eq!((entries("\"SERVICES\""), entries("\"BACKENDS\"")), (6.0, 18.0));
    assert!(entries("\"CONNTRACK\"") >= 80.0, "both halves of 40 flows");
    assert_eq!(after.sum("lb_map_capacity", &["\"SERVICES\""]), 32_768.0);
    for (name, value) in [("lb_ready", 1.0), ("lb_source_synced", 1.0), ("lb_problems", 0.0)] {
        assert_eq!(after.sum(name, &[]), value, "{name}");
    }
    changes_are_measured(&stage);
}

fn changes_are_measured(stage: &Stage) {
    let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).output().unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    let before = Page::of(stage);
    stage.write("measured.yaml", &MEASURED.replace("TIME", now.trim()));
    let v4 = &[r#"ip_family="IPv4""#];
    let programmed = "kubeproxy_network_programming_duration_seconds";
    let count = |page: &Page| page.sum(&format!("{programmed}_count"), v4);
    eventually("the slice is measured", || count(&Page::of(stage)) == count(&before) + 1.0);
    let after = Page::of(stage);
    let took = after.sum(&format!("{programmed}_sum"), v4);
    assert!(took > 0.0 && took < 10.0, "{took} s");
    for (kind, name) in [("service", "changes_total"), ("endpoint", "changes_total")] {
        let name = format!("kubeproxy_sync_proxy_rules_{kind}_{name}");
        assert_eq!(after.sum(&name, &[]), before.sum(&name, &[]) + 1.0, "{name}");
        let pending = name.replace("changes_total", "changes_pending");
        assert_eq!(after.sum(&pending, &[]), 0.0);
    }
    let at = |name| after.sum(&format!("kubeproxy_sync_proxy_rules_{name}_seconds"), v4);
    assert!(at("last_timestamp") >= at("last_queued_timestamp"));
    assert!(
        at("last_queued_timestamp")
            > before.sum("kubeproxy_sync_proxy_rules_last_timestamp_seconds", v4)
    );
}

#[test]
fn an_agent_says_whether_it_is_ready_and_a_taken_port_stops_nothing() {
    let mut stage = Stage::idle();
    let taken = stage.network.node.within(|| Ok(TcpListener::bind(AT)?)).unwrap();
    stage.start();
    stage.await_problem(&["--metrics-bind-address", AT]);
    answered(&stage.network.shell, &http(vips(HTTP)[0], 5));
    drop(taken);
    eventually("a port that is free again is opened", || stage.problems().is_empty());
    assert_eq!(ask(&stage, "/readyz"), (200, "ready\n".to_owned()));
    for (path, expected) in [("/livez", "\"healthy\":true"), ("/version", "\"layout\":2")] {
        let (status, text) = ask(&stage, path);
        assert!(status == 200 && text.contains(expected), "{path}: {status} {text}");
    }
    let (status, text) = ask(&stage, "/healthz");
    assert!(status == 404 && text.contains("/readyz"), "{status} {text}");

    // What is pinned for a link that does not exist is removed; a folder cannot be.
    let pin = stage.network.node.bpffs().unwrap().join("v2/links/lb_tc_ingress-9999");
    fs::create_dir(&pin).unwrap();
    stage.network.node.address("lo", "198.18.0.1/32").unwrap();
    eventually("the agent is not ready", || ask(&stage, "/readyz").0 == 503);
    let (_, text) = ask(&stage, "/readyz");
    assert!(text.contains("lb_tc_ingress-9999") && text.contains("tried again"), "{text}");
    assert_eq!(Page::of(&stage).sum("lb_ready", &[]), 0.0);
    fs::remove_dir(&pin).unwrap();
    eventually("it is ready again", || ask(&stage, "/readyz").0 == 200);
}
