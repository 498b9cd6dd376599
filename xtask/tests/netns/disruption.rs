//! The agent goes and comes back under load: nobody notices.

use crate::expect::answer;
use crate::expect::http;
use crate::patience::eventually;
use crate::stage::{HTTP, NODE_HTTP, PODS, Stage, node_ports, vips};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use xtask::lab::Host;
use xtask::lab::traffic::Held;
use xtask::lab::traffic::hold::Options;

#[test]
fn connections_old_and_new_work_whatever_happens_to_the_agent() {
    let mut stage = Stage::new();
    let held = hold(&stage);
    for _ in 0..3 {
        stage.kill();
        new_connections_work(&stage);
        // The next agent may be another build: it takes over what it finds in the same way.
        stage.start();
        new_connections_work(&stage);
    }
    stage.stop();
    new_connections_work(&stage);
    stage.start();
    for held in held {
        is_whole(held);
    }
}

/// Programs hand packets over to others: the new ones must not be reached from the old ones.
#[test]
fn connections_are_opened_while_an_agent_starts() {
    let mut stage = Stage::new();
    let [shell, _, client] = stage.clients().map(Clone::clone);
    let ways = [(shell, vips(HTTP)[0]), (client, node_ports(NODE_HTTP)[0])];
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = ways.each_ref().map(|(from, to)| scope.spawn(|| ask(from, *to, &is_over)));
        for _ in 0..3 {
            stage.kill();
            stage.start();
            stage.stop();
            stage.start();
        }
        is_over.store(true, Ordering::Relaxed);
        for asked in asking.map(|asking| asking.join().unwrap()) {
            assert!(asked > 0);
        }
    });
}

/// Connects again and again, and none of it may fail; how often.
fn ask(from: &Host, to: SocketAddr, is_over: &AtomicBool) -> u32 {
    let mut asked = 0;
    while !is_over.load(Ordering::Relaxed) {
        let report = from.connect(&http(to, 100)).unwrap();
        assert!(report.errors.is_empty(), "{to}, after {asked} connections: {report:?}");
        asked += report.replies_len();
    }
    asked
}

#[test]
fn an_agent_that_starts_again_catches_up_with_what_it_missed() {
    let mut stage = Stage::new();
    stage.stop();
    stage.remove("pod-kubia-2.yaml");
    stage.write("late.yaml", include_str!("manifests/late.yaml"));
    stage.start();
    for client in stage.clients() {
        answer(client, &http(vips(HTTP)[0], 40), &["kubia-1", "kubia-3"]);
        answer(client, &http("10.96.0.21:80".parse().unwrap(), 40), &["kubia-1", "kubia-3"]);
    }
    stage.stop();
    stage.remove("late.yaml");
    stage.start();
    eventually("a Service that was removed meanwhile is gone", || {
        let late = "10.96.0.21:80".parse().unwrap();
        stage.network.shell.connect(&http(late, 1)).unwrap().replies.is_empty()
    });
}

/// 200 connections by each way in, a third each of pods, the node and outsiders.
fn hold(stage: &Stage) -> Vec<Held> {
    let [shell, node, client] = stage.clients();
    let [cluster4, cluster6] = vips(HTTP);
    let [port4, port6] = node_ports(NODE_HTTP);
    let all = [(shell, cluster4), (shell, cluster6), (node, cluster4), (node, cluster6)];
    let all = all.into_iter().chain([(client, port4), (client, port6)]);
    all.map(|(from, to)| from.hold(&Options::to(to).connections(34)).unwrap()).collect()
}

fn new_connections_work(stage: &Stage) {
    for client in stage.clients() {
        for to in [vips(HTTP), node_ports(NODE_HTTP)].concat() {
            answer(client, &http(to, 50), &PODS);
        }
    }
}

fn is_whole(held: Held) {
    let report = held.finish().unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.opened.values().sum::<u32>(), 34, "{report:?}");
    // Each was asked again and again, not merely left open.
    assert!(report.answers > 34 * 10, "{report:?}");
}
