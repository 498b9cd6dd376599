//! Nodes move from kube-proxy to the agent under traffic, and no connection notices; before, the
//! agent says that it would do the same. What it is told is what docs/migration.md says.

use super::cluster::{Cluster, NODES};
use super::stage::Stage;
use super::traffic::{self, Load};
use crate::step::step;
use anyhow::{Context as _, Result, ensure};
use std::thread;
use std::time::Duration;

/// 500 connections, and 200 new ones a second.
const LOAD: Load = Load { held: 250, rate: 100 };
/// How long traffic goes on once kube-proxy has gone.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// What is compared beside the Service that clients ask.
const COMPARED: &str = include_str!("compared.yaml");
/// The address that its load balancer has.
const LOAD_BALANCER: &str = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.9"}]}}}"#;

/// Fails if the agent would lead a frontend elsewhere, or a connection breaks.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    traffic::header();
    let mut whole = true;
    for mode in ["nftables", "iptables"] {
        step(&format!("go back to kube-proxy ({mode})"), |_| cluster.go_back(mode))?;
        let stage = step("deploy a Service", |_| Stage::set(cluster))?;
        step("compare what both would do", |_| compare(cluster))?;
        let what = format!("move from {mode} mode");
        whole &= traffic::under(cluster, (&stage, LOAD), &what, |cluster, step| {
            for node in NODES {
                step.progress(node);
                cluster.take_over(node)?;
            }
            thread::sleep(AFTERWARDS);
            Ok(())
        })?;
        for node in NODES {
            let status = cluster.lbctl(node, &["get", "status"])?;
            let foreign = status.lines().find_map(|line| line.strip_prefix("Foreign:"));
            println!(
                "{node}: {}",
                foreign.context("no word about kube-proxy's connections")?.trim()
            );
        }
    }
    ensure!(whole, "connections were broken or refused");
    Ok(())
}

fn compare(cluster: &Cluster) -> Result<()> {
    cluster.apply(COMPARED)?;
    let guarded = ["-n", "compared", "patch", "service", "guarded", "--subresource=status", "-p"];
    cluster.kubectl(&[&guarded[..], &[LOAD_BALANCER]].concat())?;
    for node in NODES {
        let verdict = cluster.shadow(node)?;
        println!("{node}: {}", verdict.trim());
    }
    Ok(())
}
