//! Agents are killed and upgraded under traffic: no connection may notice.

use super::cluster::Cluster;
use super::stage::{Place, Stage};
use crate::build;
use crate::step::step;
use crate::workspace;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// How often all agents are killed, and how often they are upgraded.
const TIMES: u32 = 20;
/// Connections that are held by each of two clients.
const HELD: u32 = 1000;
/// Connections that each of two others opens a second.
const RATE: u32 = 250;
/// Between two replacements.
const PAUSE: Duration = Duration::from_millis(500);

/// Fails if a connection was lost, refused or reset.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    build::run(&build::Options { release: true })?;
    let builds = [workspace::programs_of(true)?, cluster.programs().to_owned()];
    let stage = step("deploy a Service", |_| Stage::set(cluster))?;
    println!(
        "{:<10} {:>6} {:<8} {:>6} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7}",
        "AGENTS",
        "TIMES",
        "CLIENT",
        "HELD",
        "BROKEN",
        "ANSWERS",
        "OPENED",
        "FAILED",
        "RESENT",
        "MAX-MS"
    );
    let mut whole = true;
    whole &= under_traffic(cluster, &stage, "killed", |cluster, _| cluster.kill_agents())?;
    whole &= under_traffic(cluster, &stage, "upgraded", |cluster, index| {
        let [odd, even] = &builds;
        cluster.replace_agents(if index % 2 == 0 { odd } else { even }, "")
    })?;
    ensure!(whole, "connections were broken or refused");
    Ok(())
}

/// Replaces agents while four clients are at work; whether none of them noticed.
fn under_traffic(
    cluster: &mut Cluster,
    stage: &Stage,
    what: &str,
    mut replace: impl FnMut(&mut Cluster, u32) -> Result<()>,
) -> Result<bool> {
    let places = [Place::Pod, Place::Outside];
    let mut clients = Vec::new();
    for place in places {
        let resent = stage.resent(cluster, place)?;
        let held = stage.hold(cluster, place, HELD)?;
        clients.push((place, resent, held, stage.connect(cluster, place, RATE)?));
    }
    // All of them are open before the first agent goes.
    thread::sleep(Duration::from_secs(3));
    step(&format!("agents are {what} {TIMES} times"), |step| {
        for index in 0..TIMES {
            step.progress(&format!("{index} of {TIMES}"));
            replace(cluster, index)?;
            thread::sleep(PAUSE);
        }
        Ok(())
    })?;
    let mut whole = true;
    for (place, resent, held, opened) in clients {
        let (held, opened) = (held.finish()?, opened.finish()?);
        let resent = stage.resent(cluster, place)? - resent;
        let held_len: u32 = held.opened.values().sum();
        let broken: u32 = held.lost.values().chain(held.refused.values()).sum();
        println!(
            "{what:<10} {TIMES:>6} {:<8} {held_len:>6} {broken:>7} {:>8} {:>7} {:>7} {resent:>7} {:>7}",
            format!("{place:?}").to_lowercase(),
            held.answers,
            opened.replies_len(),
            opened.errors_len(),
            held.slowest_us.max(opened.max_us) / 1000,
        );
        let is_whole = held.is_whole() && held_len == HELD && opened.errors.is_empty();
        if !is_whole {
            println!("  {:?} {:?} {:?}", held.lost, held.refused, opened.errors);
        }
        whole &= is_whole;
    }
    Ok(whole)
}
