//! Agents are killed and upgraded under traffic: no connection may notice.

use super::cluster::Cluster;
use super::stage::Stage;
use super::traffic::{self, Load};
use crate::build;
use crate::step::{Step, step};
use crate::workspace;
use anyhow::{Result, ensure};
use std::thread;
use std::time::Duration;

/// How often all agents are killed, and how often they are upgraded.
const TIMES: u32 = 20;
/// 2,000 connections, and 500 new ones a second.
const LOAD: Load = Load { held: 1000, rate: 250 };
/// Between two replacements.
const PAUSE: Duration = Duration::from_millis(500);

/// Fails if a connection was lost, refused or reset.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    build::run(&build::Options { release: true, ..build::Options::default() })?;
    let builds = [workspace::programs_of(true)?, cluster.programs().to_owned()];
    let stage = step("deploy a Service", |_| Stage::set(cluster))?;
    traffic::header();
    let load = (&stage, LOAD);
    let killed =
        traffic::under(cluster, load, &format!("kill agents {TIMES} times"), |cluster, step| {
            repeat(step, |_| cluster.kill_agents())
        })?;
    let what = format!("upgrade agents {TIMES} times");
    let upgraded = traffic::under(cluster, load, &what, |cluster, step| {
        repeat(step, |index| {
            let [odd, even] = &builds;
            cluster.replace_agents(if index % 2 == 0 { odd } else { even }, "")
        })
    })?;
    ensure!(killed && upgraded, "connections were broken or refused");
    Ok(())
}

fn repeat(step: &Step, mut replace: impl FnMut(u32) -> Result<()>) -> Result<()> {
    for index in 0..TIMES {
        step.progress(&format!("{index} of {TIMES}"));
        replace(index)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}
