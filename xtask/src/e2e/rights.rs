//! The agent runs with three capabilities and no more, and serves all the same.

use super::cluster::{Cluster, NODES, output};
use super::stage::Stage;
use crate::step::step;
use anyhow::{Context as _, Result, ensure};

/// What starts a program with these rights alone.
const PREFIX: &str = "setpriv --no-new-privs --inh-caps=-all,+net_admin,+perfmon,+bpf \
                      --bounding-set=-all,+net_admin,+perfmon,+bpf --";
/// `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF` (linux/capability.h) as a mask.
const EXPECTED: u64 = 1 << 12 | 1 << 38 | 1 << 39;

/// Fails if an agent has other rights, or cannot serve with them.
pub(super) fn check(cluster: &mut Cluster) -> Result<()> {
    let programs = cluster.programs().to_owned();
    step("restart the agents with three capabilities", |_| {
        cluster.replace_agents(&programs, PREFIX)
    })?;
    for node in NODES {
        let said = output(cluster.in_node(node).args([
            "sh",
            "-c",
            "cat /proc/$(cat /run/proxy.pid)/status",
        ]))?;
        let said = String::from_utf8(said.stdout)?;
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            let word = said.lines().find_map(|line| line.strip_prefix(&format!("{set}:")));
            let word = word.with_context(|| format!("no {set} in its status"))?.trim();
            let has = u64::from_str_radix(word, 16)?;
            ensure!(has == EXPECTED, "{node}: {set} is {has:#x}, expected {EXPECTED:#x}");
        }
        println!("{node}: CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF");
        let status = cluster.lbctl(node, &["get", "status"])?;
        ensure!(!status.contains("kernel:"), "{node} has problems:\n{status}");
    }
    step("it serves", |_| Stage::set(cluster)).map(drop)
}
