//! A pod that turns unready goes from the names of its Service, and comes back.
//!
//! The pod's own server says when it told the agent's probe; from there it is measured until the
//! answer to a question is another one.

use super::super::tell::{heading, tick};
use super::check::libraries;
use super::dig;
use super::stage::{Member, Stage};
use super::story::{PODS, table};
use crate::lab::traffic::{TOLD_READY, TOLD_UNREADY};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

const NAME: &str = "peers.default.svc.cluster.local A";

/// How soon after a probe the answer has to be another one.
const CHANGE: Duration = Duration::from_secs(1);

/// How soon a probe has to come: every second, on a busy machine.
const PROBE: Duration = Duration::from_secs(5);

/// How often the server's output is looked at.
const PAUSE: Duration = Duration::from_millis(1);

/// The first probes of the pods.
pub(super) fn wait_for_all(stage: &Stage) -> Result<()> {
    for member in &stage.members {
        told(member, TOLD_READY)?;
    }
    answered(stage, PODS.len() / 2)?;
    tick("every pod has told a probe of the agent that it is ready");
    Ok(())
}

/// One pod goes and comes back.
pub(super) fn tell(stage: &Stage) -> Result<()> {
    heading("A pod turns unready: its probes are answered 503 (pod kubia-2)");
    let [_, member, _] = &stage.members;
    let ready = &member.ready;
    fs::remove_file(ready).with_context(|| format!("removing {}", ready.display()))?;
    change(stage, member, TOLD_UNREADY, 2)?;
    without(stage)?;
    heading("It is ready again");
    File::create(ready).with_context(|| format!("creating {}", ready.display()))?;
    change(stage, member, TOLD_READY, 3)?;
    libraries(&stage.network.shell, "peers", &PODS)
}

/// What is answered as long as it is not ready.
fn without(stage: &Stage) -> Result<()> {
    table(
        stage,
        &[
            (NAME, &["A 10.244.0.11", "A 10.244.0.13"]),
            ("kubia-2.peers.default.svc.cluster.local A", &["NXDOMAIN"]),
            ("-x fd00:10:244::12", &["NXDOMAIN"]),
            ("kubia.default.svc.cluster.local A", &["A 10.96.0.10"]),
            // It publishes those that are not ready.
            ("seed.default.svc.cluster.local A", &["A 10.244.0.12"]),
        ],
    )?;
    let [first, _, third, first6, _, third6] = PODS;
    libraries(&stage.network.shell, "peers", &[first, third, first6, third6])
}

/// Waits until a probe was told the news, and until so many addresses are answered; in time.
fn change(stage: &Stage, member: &Member, news: &str, count: usize) -> Result<()> {
    let waited = told(member, news)?;
    let elapsed = answered(stage, count)?;
    let name = &member.name;
    tick(&format!(
        "{name} {news} after {} ms; {} ms later dig sees {count} addresses",
        waited.as_millis(),
        elapsed.as_millis()
    ));
    if elapsed > CHANGE {
        bail!("{NAME}: expected {count} addresses within {CHANGE:?}, seen after {elapsed:?}");
    }
    Ok(())
}

/// Waits until the last that a pod told a probe is `news`.
fn told(member: &Member, news: &str) -> Result<Duration> {
    let started = Instant::now();
    while member.server.stdout().lines().next_back() != Some(news) {
        if started.elapsed() > PROBE {
            bail!("{}: expected a probe within {PROBE:?}", member.name);
        }
        thread::sleep(PAUSE);
    }
    Ok(started.elapsed())
}

/// Waits until so many addresses are answered.
fn answered(stage: &Stage, count: usize) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let seen = dig::ask(&stage.network.shell, NAME)?;
        let addresses = seen.iter().filter(|line| line.text.starts_with("A ")).count();
        let elapsed = started.elapsed();
        if addresses == count {
            return Ok(elapsed);
        }
        if elapsed > PROBE {
            bail!("{NAME}: expected {count} addresses within {PROBE:?}, seen {seen:?}");
        }
    }
}
