//! `tests/manifests/golden/*.txt`: manifests, then the model and the problems they make.
//!
//! `UPDATE_GOLDEN=1 cargo test -p lb-userspace golden` writes what is there now; read the diff.

use super::derived;
use crate::model::Snapshot;
use std::fmt::Write;
use std::path::Path;

const MODEL: &str = "=== model\n";
const CIDRS: &[&str] = &["10.96.0.0/16", "fd00:10:96::/112"];

#[test]
fn every_golden_file_is_what_its_manifests_make() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/golden");
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let yaml = text.split(MODEL).next().unwrap();
        let found = derived(yaml, CIDRS);
        let now = format!(
            "{yaml}{MODEL}{}=== problems\n{}",
            model(&found.snapshot),
            lines(&found.said())
        );
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &now).unwrap();
        } else {
            assert_eq!(text, now, "{}", file.display());
        }
    }
}

/// One object a line.
fn model(snapshot: &Snapshot) -> String {
    let mut text = format!("node {}\n", serde_json::to_string(&snapshot.node).unwrap());
    for service in snapshot.services.values() {
        writeln!(text, "service {}", serde_json::to_string(service).unwrap()).unwrap();
    }
    for slice in snapshot.slices.values().flat_map(|slices| slices.values()) {
        writeln!(text, "slice {}", serde_json::to_string(slice).unwrap()).unwrap();
    }
    text
}

fn lines(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + line + "\n")
}
