//! What the kernel has, and what that enables: each line is tried, none is guessed from a version
//! where it can be tried.

use crate::bpf::attach::TcMode;
use crate::bpf::loader::{self, Capacities, Constants};
use crate::bpf::{clock, own_netns_cookie};
use crate::sockets;
use anyhow::Result;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// What came out of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is there.
    Ok,
    /// It is not, and something is off because of it.
    Off,
    /// It is not, and the agent cannot run.
    Stop,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub feature: &'static str,
    /// What came out.
    pub outcome: Outcome,
    /// What it enables, or what is off and what to do.
    pub detail: String,
}

/// Looks at everything.
pub fn findings(bpffs: &Path) -> Vec<Finding> {
    let mut all = vec![rights(), bpf_file_system(bpffs), cgroup(), udp_sockets(), netns_cookie()];
    all.push(tcx());
    all.extend(programs());
    all
}

/// Writes the findings; true if an agent can run.
///
/// # Errors
/// The output could not be written.
pub fn run(bpffs: &Path, json: bool, out: &mut impl Write) -> Result<bool> {
    let findings = findings(bpffs);
    if json {
        serde_json::to_writer_pretty(&mut *out, &findings)?;
        writeln!(out)?;
    } else {
        let width = findings.iter().map(|finding| finding.feature.len()).max().unwrap_or(0);
        for Finding { feature, outcome, detail } in &findings {
            let word = match outcome {
                Outcome::Ok => "ok",
                Outcome::Off => "off",
                Outcome::Stop => "STOP",
            };
            writeln!(out, "{feature:width$}  {word:4}  {detail}")?;
        }
    }
    Ok(findings.iter().all(|finding| finding.outcome != Outcome::Stop))
}

fn finding(feature: &'static str, holds: bool, otherwise: Outcome, details: [&str; 2]) -> Finding {
    let [yes, no] = details;
    let (outcome, detail) = if holds { (Outcome::Ok, yes) } else { (otherwise, no) };
    Finding { feature, outcome, detail: detail.to_owned() }
}

fn rights() -> Finding {
    let root = nix::unistd::geteuid().is_root();
    finding(
        "rights",
        root,
        Outcome::Stop,
        ["root", "not root: run `sudo lb-agent check` for the rest"],
    )
}

fn bpf_file_system(bpffs: &Path) -> Finding {
    let parent = bpffs.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let mounted = statfs(parent).is_ok_and(|kind| kind.filesystem_type() == BPF_FS_MAGIC);
    let no = "not mounted: nothing would outlive the agent; `mount -t bpf bpf /sys/fs/bpf`";
    finding("bpffs", mounted, Outcome::Stop, ["maps and links outlive the agent", no])
}

fn cgroup() -> Finding {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2"));
    let no = "not mounted: processes of the node are not served (`--socket-lb off`)";
    finding(
        "cgroup v2",
        mounted,
        Outcome::Off,
        ["processes of the node are served when they connect", no],
    )
}

/// A socket of our own is closed.
fn udp_sockets() -> Finding {
    let (outcome, detail) = match sockets::try_out() {
        Ok(()) => (Outcome::Ok, "closed when the endpoint that they are connected to goes".into()),
        Err(error) => (
            Outcome::Off,
            format!(
                "connected ones stay with an endpoint that is gone until their process opens new \
                 ones: {error:#} (CONFIG_INET_DIAG_DESTROY, CONFIG_INET_UDP_DIAG)"
            ),
        ),
    };
    Finding { feature: "UDP sockets", outcome, detail }
}

fn netns_cookie() -> Finding {
    let no = "missing (Linux 5.14): sockets of pods cannot be told from those of the node";
    finding(
        "netns cookie",
        own_netns_cookie().is_ok(),
        Outcome::Stop,
        ["sockets of pods are left alone", no],
    )
}

fn tcx() -> Finding {
    let tcx = TcMode::of_kernel() == TcMode::Tcx;
    let no = "missing (Linux 6.6): TC programs go to the clsact qdisc, an upgrade replaces filters";
    finding("TCX", tcx, Outcome::Off, ["TC programs are swapped without a gap", no])
}

/// Every program is sent to the verifier, with small private maps.
fn programs() -> Vec<Finding> {
    let tiny = Capacities { conntrack: 16, frontends: 16, slots: 16, backends: 16, services: 16 };
    let constants = Constants { hz: 250, hash_seed: 0, netns_cookie: 0 };
    let groups: [(&str, &[&str]); 4] = [
        ("TC programs", &[loader::TC_INGRESS, loader::TC_EGRESS]),
        ("XDP program", &[loader::XDP]),
        ("socket programs", &loader::CGROUP),
        ("jiffies", &[loader::JIFFIES]),
    ];
    let mut ebpf = match loader::load(&constants, &tiny, None) {
        Ok(ebpf) => ebpf,
        Err(error) => {
            return vec![Finding {
                feature: "BPF maps",
                outcome: Outcome::Stop,
                detail: format!("{error:#}"),
            }];
        }
    };
    let mut findings: Vec<Finding> = groups
        .iter()
        .map(|(feature, names)| {
            let loaded =
                names.iter().try_for_each(|name| loader::into_kernel(&mut ebpf, name).map(drop));
            let outcome = if loaded.is_ok() { Outcome::Ok } else { Outcome::Stop };
            let detail = loaded.map_or_else(
                |error| format!("{error:#}"),
                |()| "accepted by the verifier".to_owned(),
            );
            Finding { feature, outcome, detail }
        })
        .collect();
    if let Ok(clock) = clock::measure() {
        let detail = format!("flows are timed in steps of 1/{} s", clock.hz);
        findings.push(Finding { feature: "clock", outcome: Outcome::Ok, detail });
    }
    findings
}
