//! `cargo xtask demo discovery`: Services by their names, asked for by the resolvers that pods have.
//!
//! `dig` shows what is in an answer, glibc (`getent`) and musl (`lookup`, which is built for it) show
//! what programs make of it by their own `resolv.conf`, search path included.

/// The network with its servers and the agent.
mod stage;
/// Questions by dig.
mod dig;
/// Questions by C libraries.
mod library;
/// What is expected of answers, and how it is told.
mod check;
/// The claims in order.
mod story;
/// What a pod's readiness changes.
mod readiness;

use super::tell::tick;
use super::{entry, keep, lbctl, outcome};
use crate::setup::{self, SystemProgram};
use crate::{build, root};
use anyhow::Result;
use stage::Stage;

/// The clients that are the system's.
const CLIENTS: [SystemProgram; 2] = [
    ("dig", "sudo apt-get install bind9-dnsutils", "sudo dnf install bind-utils"),
    ("getent", "sudo apt-get install libc-bin", "sudo dnf install glibc-common"),
];

/// Shows it; an error at the first claim that does not hold.
pub(super) fn run(stay: bool) -> Result<()> {
    setup::system_programs(&CLIENTS)?;
    root::after_build(&build::Options { lookup: true, ..build::Options::default() })?;
    println!("\nA network of namespaces: three pods and a client on a node, a name server outside");
    let mut stage = Stage::new()?;
    tick("the agent has read examples/discovery and answers at 10.244.0.1 and fd00:10:244::1");
    tick(&format!("asked by {}", stage.clients()?));
    outcome(story::tell(&stage), &mut stage.agent)?;
    if stay { keep(&commands(&stage)?) } else { Ok(()) }
}

/// What to try at the end.
fn commands(stage: &Stage) -> Result<Vec<String>> {
    let [first, ..] = &stage.members;
    Ok(vec![
        format!("pod() {{ {} \"$@\"; }}", entry(&stage.network.shell)?),
        "pod cat /etc/resolv.conf".into(),
        "pod dig peers.default.svc.cluster.local".into(),
        "pod getent ahosts kubia".into(),
        format!("pod {} cart.shop", build::lookup()?.display()),
        format!("rm {}    # kubia-1 turns unready", first.ready.display()),
        lbctl(&stage.network.node)?,
        "lbctl explain service default/peers".into(),
    ])
}
