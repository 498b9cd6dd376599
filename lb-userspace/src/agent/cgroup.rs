//! Whose processes the socket programs serve.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The cgroup that was named, else the root of the version 2 hierarchy.
pub(super) fn cgroup(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let mounts =
        std::fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    });
    root.context("no cgroup of version 2 is mounted: processes of the node cannot be served (mount one, or use --socket-lb off)")
}
