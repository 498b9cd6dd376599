//! `tests/scenarios/*.json`: what kube-proxy does, and what the real programs do with the same
//! objects and packets (`FORMAT.md` explains the files and where they come from).
//!
//! Scenarios are judged with `--snat always`, which is how kube-proxy masquerades. Needs root;
//! leaves nothing behind.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use lb_userspace::compile::node::SnatMode;
use lb_userspace::simulate::{Scenario, Simulator};
use std::path::{Path, PathBuf};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut json: Vec<PathBuf> = json.collect();
    json.sort();
    json
}

fn read(file: &Path) -> Scenario {
    let name = file.file_stem().unwrap().to_string_lossy();
    let text = std::fs::read_to_string(file).unwrap();
    Scenario::read(&name, &text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_expectation_of_kube_proxy_is_met() {
    let mut simulator = Simulator::start(SnatMode::Always).unwrap();
    let mut wrong = Vec::new();
    for file in files() {
        let report = simulator.run(read(&file)).unwrap();
        // Files of that kind hold facts in words, and nothing that could be judged.
        assert_eq!(report.checks.is_empty(), report.id.starts_with("words-"), "{}", report.id);
        let failed = report.checks.iter().filter(|check| !check.ok);
        wrong.extend(failed.map(|check| {
            format!("{}: {}: {}", report.id, check.name, check.differences.join("; "))
        }));
    }
    assert!(wrong.is_empty(), "{} judged otherwise:\n{}", wrong.len(), wrong.join("\n"));
}
