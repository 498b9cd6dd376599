//! Inputs that break a target: from where the fuzzer left them to where they are kept.

use super::target::Target;
use crate::workspace;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Digits of the hash in a name: libFuzzer's is of the content.
const DIGITS: usize = 12;

/// Keeps what the fuzzer left for `target`; where each input is now.
pub(super) fn keep(target: Target) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for artifact in files(&target.artifacts())? {
        if !is_slow(&artifact) {
            kept.push(keep_one(target, &artifact)?);
        }
        fs::remove_file(&artifact).with_context(|| format!("removing {}", artifact.display()))?;
    }
    Ok(kept)
}

/// libFuzzer also leaves inputs that only took long.
fn is_slow(artifact: &Path) -> bool {
    name_of(artifact).starts_with("slow-unit")
}

/// Copies an input to the target's crashes, unless it is committed already.
fn keep_one(target: Target, artifact: &Path) -> Result<PathBuf> {
    let bytes = fs::read(artifact).with_context(|| format!("reading {}", artifact.display()))?;
    for folder in target.seeds() {
        for known in files(&folder)? {
            if fs::read(&known).is_ok_and(|other| other == bytes) {
                return Ok(known);
            }
        }
    }
    let folder = target.crashes();
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(short(&name_of(artifact)));
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// `crash-` and the first digits of the hash.
fn short(name: &str) -> String {
    let (kind, hash) = name.rsplit_once('-').unwrap_or(("crash", name));
    format!("{kind}-{}", hash.get(..DIGITS).unwrap_or(hash))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files of a folder, by name; none if it does not exist.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
}

/// A path as a person at the workspace's root would type it.
pub(super) fn shown(path: &Path) -> String {
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_happened_and_a_hash_of_the_content() {
        assert_eq!(short("crash-1f8ac10f23c5b5bc1167bda84b833e5c057a77d2"), "crash-1f8ac10f23c5");
        assert_eq!(short("timeout-da39"), "timeout-da39");
    }
}
