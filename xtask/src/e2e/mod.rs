//! `cargo xtask e2e`: a real Kubernetes on this machine, with lb in kube-proxy's place.
//!
//! The cluster comes from a folder of scripts that is not part of this project (`--cluster`):
//! `build.sh`, `up.sh`, `down.sh`, `proxy.sh`, `e2e.sh`, `kubectl.sh` and `node.sh`. What they are
//! told and what they promise stands in `cluster`.

/// The scripts.
mod cluster;
/// Pods that serve, and clients.
mod stage;
/// Clients that count.
mod traffic;
/// Agents that are replaced under traffic.
mod disruption;
/// An API server that goes away.
mod outage;
/// Pods that die meanwhile.
mod doomed;
/// Nodes that move from kube-proxy.
mod takeover;
/// What the agent may do.
mod rights;
/// The manifests.
mod chart;
/// The cluster's names.
mod dns;

use crate::{build, root};
use anyhow::{Result, bail};
use cluster::Cluster;
use std::path::PathBuf;

/// What to check, and on what.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask e2e --cluster ../cluster                   every check of our own
  cargo xtask e2e --cluster ../cluster disruption        agents are replaced under traffic
  cargo xtask e2e --cluster ../cluster --official        Kubernetes' own tests of Services and kin
  cargo xtask e2e --cluster ../cluster --official='\\[sig-network\\] Services.*Conformance' --cni bridge

The table of Kubernetes' own tests is theirs; what they do is in test/e2e/network of its source.")]
pub struct Options {
    /// Folder of scripts that start a cluster
    #[arg(long, env = "LB_E2E_CLUSTER", value_name = "DIR")]
    cluster: PathBuf,
    /// Run Kubernetes' own tests whose names match; all that concern a proxy if none is given
    #[arg(long, value_name = "FOCUS", num_args = 0..=1, require_equals = true, default_missing_value = OFFICIAL)]
    official: Option<String>,
    /// How pods are joined: ptp or bridge
    #[arg(long, default_value = "ptp")]
    cni: String,
    /// Address families of the cluster: ipv4 or dual
    #[arg(long, default_value = "ipv4")]
    ip_family: String,
    /// Leave the cluster running
    #[arg(long)]
    keep: bool,
    /// Checks of our own; all of them if nothing is named
    #[arg(value_enum)]
    checks: Vec<Check>,
}

/// A check of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// The agent runs with three capabilities and no more
    Rights,
    /// Agents are killed and upgraded under traffic: no connection notices
    Disruption,
    /// The API server goes away for three minutes and pods die: traffic to those that live goes on,
    /// and the agents catch up
    Outage,
    /// The pods of deploy/lb.yaml serve, tell Events, and answer load balancers during a rollout
    Chart,
    /// Nodes move from kube-proxy to the agent under traffic: no connection notices
    Takeover,
    /// Agents in the place of the cluster's name servers: one is killed under questions, and
    /// Kubernetes' own tests of DNS pass
    Dns,
}

const CHECKS: [Check; 6] =
    [Check::Rights, Check::Disruption, Check::Outage, Check::Chart, Check::Takeover, Check::Dns];

/// Tests of Kubernetes' that a service proxy has to pass.
const OFFICIAL: &str = "\\[sig-network\\] (Services|Conntrack|EndpointSlice|EndpointSliceMirroring|\
                        EndpointsController|Topology Hints|Traffic Distribution|Connectivity Pod|\
                        \\[Feature:IPv6DualStack\\])";
/// What a machine without a cloud, or with a kernel without SCTP, cannot run.
const SKIPPED: &str = "\\[Slow\\]|\\[Disruptive\\]|\\[Flaky\\]|Provider:GCE|Feature:SCTP";
/// What a cluster of one family cannot.
const DUAL: &str = "Feature:IPv6DualStack";

/// Starts a cluster and checks what was asked for.
pub fn run(options: &Options) -> Result<()> {
    let programs = root::after_build(&build::Options::default())?;
    let mut cluster = Cluster::up(options, programs)?;
    let outcome = check(&mut cluster, options);
    cluster.down(options.keep)?;
    outcome
}

fn check(cluster: &mut Cluster, options: &Options) -> Result<()> {
    if let Some(focus) = &options.official {
        return official(cluster, focus, &options.ip_family);
    }
    let checks = if options.checks.is_empty() { &CHECKS[..] } else { &options.checks };
    let mut failed = Vec::new();
    for check in checks {
        let outcome = match check {
            Check::Rights => rights::check(cluster),
            Check::Disruption => disruption::check(cluster),
            Check::Outage => outage::check(cluster),
            Check::Chart => chart::check(cluster),
            Check::Takeover => takeover::check(cluster),
            Check::Dns => dns::check(cluster),
        };
        if let Err(error) = outcome {
            eprintln!("{check:?}: {error:#}");
            failed.push(format!("{check:?}").to_lowercase());
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn official(cluster: &Cluster, focus: &str, ip_family: &str) -> Result<()> {
    let skipped =
        if ip_family == "dual" { SKIPPED.to_owned() } else { format!("{SKIPPED}|{DUAL}") };
    cluster.official(focus, &skipped)
}
