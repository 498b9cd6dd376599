//! Every input in `corpus/` and `crashes/` once more, without the fuzzer: what was found once is
//! looked for by every `cargo test`. The last file that is named is the one that failed.
//!
//! Needs root for the programs; leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use lb_fuzz::programs::seed::seeds;
use lb_fuzz::{TARGETS, Target};
use std::fs;
use std::path::{Path, PathBuf};

/// The inputs of a target.
fn inputs(target: &Target) -> Vec<PathBuf> {
    ["corpus", "crashes"].iter().flat_map(|kind| files(&folder(kind, target.name))).collect()
}

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(kind).join(target)
}

/// The files of a folder, by name; none if it does not exist.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let inputs = inputs(target);
    assert!(!inputs.is_empty(), "nothing to replay");
    for path in inputs {
        eprintln!("{}", path.display());
        (target.run)(&fs::read(&path).unwrap());
    }
}

#[test]
fn manifests() {
    replay("manifests");
}

#[test]
fn objects() {
    replay("objects");
}

#[test]
fn allocations() {
    replay("allocations");
}

#[test]
fn status() {
    replay("status");
}

#[test]
fn dns() {
    replay("dns");
}

#[test]
fn programs() {
    replay("programs");
}

#[test]
fn every_folder_is_a_targets() {
    for kind in ["corpus", "crashes"] {
        for folder in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(kind)) {
            let name = folder.file_name().unwrap();
            assert!(TARGETS.iter().any(|target| target.name == name), "{}", folder.display());
        }
    }
}

#[test]
fn seeds_are_as_written() {
    let folder = folder("corpus", "programs");
    if std::env::var_os("UPDATE_SEEDS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds() {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    for (name, bytes) in seeds() {
        let written = fs::read(folder.join(&name)).unwrap_or_default();
        assert!(written == bytes, "{name}: UPDATE_SEEDS=1 writes it anew");
    }
}
