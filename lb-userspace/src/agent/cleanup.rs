//! Removing every trace: programs off all links and the cgroup, maps, pins, state.

use super::{lock, socket};
use crate::bpf::attach::detach_clsact;
use crate::bpf::pin::PinFolder;
use crate::config::Places;
use crate::health::{board, process};
use anyhow::{Context as _, Result};
use std::io::Write;

/// What agents leave in their state folder.
const FILES: [&str; 7] = [
    "status.json",
    "allocations.json",
    "readiness.json",
    "agent.lock",
    socket::NAME,
    process::LOCK,
    board::NAME,
];

/// Removes what agents left in these places, and says what it did.
///
/// # Errors
/// An agent runs, or something could not be removed.
pub fn run(places: &Places, out: &mut impl Write) -> Result<()> {
    let lock = lock(&places.state_dir)?;
    let removed = PinFolder::new(&places.bpffs).remove()?;
    // Filters on the clsact qdisc have no pin: they are found by their name.
    for link in &nix::net::if_::if_nameindex().context("listing links")? {
        detach_clsact(&link.name().to_string_lossy())?;
    }
    drop(lock);
    for file in FILES {
        let path = places.state_dir.join(file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    // Somebody else's files keep the folder.
    let _ = std::fs::remove_dir(&places.state_dir);
    let bpffs = places.bpffs.display();
    if removed {
        writeln!(out, "removed programs, maps and flows of {bpffs}")?;
    } else {
        writeln!(out, "nothing was pinned in {bpffs}")?;
    }
    Ok(())
}
