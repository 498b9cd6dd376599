//! `cargo xtask demo services`: the story of Kubernetes Services, with real connections.

/// What is expected of connections, and how it is told.
mod check;
/// The claims in order.
mod story;

use super::tell::tick;
use super::{entry, keep, lbctl, manifests, outcome};
use crate::lab::Kubia;
use crate::lab::agent::Agent;
use crate::{build, root};
use anyhow::Result;
use story::Stage;

/// Shows it; an error at the first claim that does not hold.
pub(super) fn run(stay: bool) -> Result<()> {
    root::after_build(&build::Options::default())?;
    println!("\nA network of namespaces: three pods on a node, a client outside, two hosts beyond");
    let network = Kubia::new()?;
    let _servers = network.serve()?;
    let manifests = manifests(&network.node, "kubia")?;
    let agent = Agent::start(&network.node, &manifests)?;
    tick("the agent has read examples/kubia and its programs are in the kernel");
    let mut stage = Stage { agent, manifests, network };
    outcome(story::tell(&stage), &mut stage.agent)?;
    if stay { keep(&commands(&stage)?) } else { Ok(()) }
}

/// What to try at the end.
fn commands(stage: &Stage) -> Result<Vec<String>> {
    let Stage { network, manifests, .. } = stage;
    let id = network.lab.id();
    Ok(vec![
        format!("ip netns exec {id}-shell curl http://10.96.0.10"),
        format!("ip netns exec {id}-client curl http://192.0.2.2:30123"),
        format!("{} curl http://10.96.0.10", entry(&network.node)?),
        lbctl(&network.node)?,
        "lbctl get services".into(),
        "lbctl trace --from 10.244.0.20 --to 10.96.0.10:80".into(),
        "lbctl explain service default/kubia".into(),
        format!("rm {}/pod-kubia-2.yaml", manifests.display()),
    ])
}
