//! The API server goes away: what is known goes on being served, and the agents catch up when it
//! is back.

use super::cluster::{CATCH_UP, Cluster, NODES, eventually, output, pass};
use super::doomed::Doomed;
use super::stage::{Place, Stage};
use crate::step::step;
use anyhow::{Context as _, Result, ensure};
use std::process::Command;
use std::time::Duration;

/// How long it is away.
const AWAY: Duration = Duration::from_mins(3);
const HELD: u32 = 200;
const RATE: u32 = 50;

/// Fails if a connection breaks, or the agents take longer than [`CATCH_UP`].
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    let stage = step("deploy a Service", |_| Stage::set(cluster))?;
    let doomed = step("deploy another one", |_| Doomed::set(cluster))?;
    let no_late = ["delete", "service", "late", "--ignore-not-found"];
    // A run that failed may have left it.
    cluster.kubectl(&no_late)?;
    let held = stage.hold(cluster, Place::Pod, HELD)?;
    let outside = stage.hold(cluster, Place::Outside, HELD)?;
    let dying = doomed.hold(cluster, &stage, HELD)?;
    step("stop the API server", |_| stop_api_server())?;
    step("kill two of three pods of that one", |_| doomed.kill(cluster))?;
    step("three minutes without an API server", |step| {
        let opened = stage.connect(cluster, Place::Pod, RATE)?;
        pass(step, AWAY);
        let opened = opened.finish()?;
        ensure!(opened.errors.is_empty(), "new connections failed: {:?}", opened.errors);
        step.note(&format!("{} new connections", opened.replies_len()));
        Ok(())
    })?;
    for node in NODES {
        let status = cluster.lbctl(node, &["get", "status"])?;
        ensure!(status.contains("cannot be watched"), "{node} says nothing of it:\n{status}");
    }
    step("start it again", |step| step.run(cluster.script("up.sh")))?;
    // The change comes before the agents are back: they have to find it.
    cluster.kubectl(&["expose", "service", "web", "--name=late", "--port=81"])?;
    for node in NODES {
        let took = eventually(CATCH_UP, &format!("{node} serves the new Service"), || {
            let services = cluster.lbctl(node, &["get", "services"])?;
            ensure!(services.contains("late"), "it does not:\n{services}");
            Ok(())
        })?;
        println!("{node} caught up within {} ms of the change", took.as_millis());
    }
    cluster.kubectl(&no_late)?;
    doomed.judge(&dying.finish()?)?;
    for held in [held.finish()?, outside.finish()?] {
        println!("{HELD} connections held, {} answers, {:?} lost", held.answers, held.lost);
        ensure!(held.is_whole(), "connections broke: {:?} {:?}", held.lost, held.refused);
    }
    step("the API server hears of the dead pods, and the agents do", |_| {
        doomed.await_forgotten(cluster)
    })
}

/// Ends the API server of this cluster: the one that listens in the namespace of its control
/// plane.
fn stop_api_server() -> Result<()> {
    let listed = output(Command::new("ip").args(["netns", "pids", "kc-cp"]))?;
    let pids = String::from_utf8(listed.stdout)?;
    let name = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let pid = pids.lines().find(|pid| name(pid).trim() == "kube-apiserver");
    let pid = pid.context("no API server runs")?;
    // Told to end (SIGTERM) it would wait a minute for those who watch.
    output(Command::new("kill").args(["-KILL", pid]))?;
    eventually(Duration::from_secs(10), "the API server has ended", || {
        ensure!(name(pid).trim() != "kube-apiserver", "it runs");
        Ok(())
    })?;
    Ok(())
}
