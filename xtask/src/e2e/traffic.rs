//! Connections that are open, and connections that are opened, while something happens to the
//! agents; and a table of how they fared.

use super::cluster::Cluster;
use super::stage::{Place, Stage};
use crate::step::{Step, step};
use anyhow::Result;
use std::thread;
use std::time::Duration;

/// What each of two clients does: one in a pod, one outside the cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Connections that it holds.
    pub(super) held: u32,
    /// Connections that it opens a second.
    pub(super) rate: u32,
}

/// Prints the names of the columns.
pub(super) fn header() {
    println!(
        "{:<26} {:<8} {:>6} {:>7} {:>8} {:>7} {:>7} {:>7} {:>7}",
        "EVENT", "CLIENT", "HELD", "BROKEN", "ANSWERS", "OPENED", "FAILED", "RESENT", "MAX-MS"
    );
}

/// Does `work` while clients are at it, and prints a row for each; whether none of them noticed.
pub(super) fn under(
    cluster: &mut Cluster,
    (stage, load): (&Stage, Load),
    what: &str,
    work: impl FnOnce(&mut Cluster, &Step) -> Result<()>,
) -> Result<bool> {
    let mut clients = Vec::new();
    for place in [Place::Pod, Place::Outside] {
        let held = stage.hold(cluster, place, load.held)?;
        let resent = stage.resent(cluster, place)?;
        clients.push((place, resent, held, stage.connect(cluster, place, load.rate)?));
    }
    // All of them are at it before anything happens.
    thread::sleep(Duration::from_secs(1));
    step(what, |step| work(cluster, step))?;
    let mut whole = true;
    for (place, resent, held, opened) in clients {
        let (held, opened) = (held.finish()?, opened.finish()?);
        let resent = stage.resent(cluster, place)? - resent;
        let held_len: u32 = held.opened.values().sum();
        let broken: u32 = held.lost.values().chain(held.refused.values()).sum();
        println!(
            "{what:<26} {:<8} {held_len:>6} {broken:>7} {:>8} {:>7} {:>7} {resent:>7} {:>7}",
            format!("{place:?}").to_lowercase(),
            held.answers,
            opened.replies_len(),
            opened.errors_len(),
            held.slowest_us.max(opened.max_us) / 1000,
        );
        let is_whole = held.is_whole() && held_len == load.held && opened.errors.is_empty();
        if !is_whole {
            println!("  {:?} {:?} {:?}", held.lost, held.refused, opened.errors);
        }
        whole &= is_whole;
    }
    Ok(whole)
}
