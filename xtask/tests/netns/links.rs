//! Links that come and go after the agent has started.

use crate::expect::{answer, http};
use crate::patience::{eventually, within};
use crate::stage::{HTTP, PODS, Stage, vips};
use std::time::Duration;

/// A pod's first connection should not have to wait longer.
const PROMPT: Duration = Duration::from_secs(1);

#[test]
fn a_pod_that_comes_later_is_served_and_forgotten_when_it_goes() {
    let mut stage = Stage::new();
    let before = stage.pins().len();
    let pod = stage.network.pod("late", 30).unwrap();
    let index = stage.network.node.index("veth-late").unwrap();
    within(PROMPT, "both programs are on the new link", || {
        stage.pins().iter().filter(|pin| is_of(pin, index)).count() == 2
    });
    eventually("the agent lists the link", || stage.links().contains(&"veth-late".to_owned()));
    for to in vips(HTTP) {
        answer(&pod, &http(to, 60), &PODS);
    }

    stage.network.node.delete("veth-late").unwrap();
    within(PROMPT, "nothing is pinned for a link that is gone", || {
        !stage.pins().iter().any(|pin| is_of(pin, index))
    });
    eventually("the agent forgets it", || !stage.links().contains(&"veth-late".to_owned()));
    assert_eq!(stage.pins().len(), before);

    // One that goes while no agent runs is forgotten by the next.
    let _late = stage.network.pod("later", 31).unwrap();
    eventually("the next link is served", || stage.pins().len() == before + 2);
    stage.kill();
    stage.network.node.delete("veth-later").unwrap();
    stage.start();
    assert_eq!(stage.pins().len(), before, "{:?}", stage.pins());
    answer(&stage.network.shell, &http(vips(HTTP)[0], 60), &PODS);
}

fn is_of(pin: &str, index: u32) -> bool {
    pin.ends_with(&format!("-{index}"))
}
