//! Objects to a snapshot, as the agent's source does it.

use lb_userspace::model::{Problem, Snapshot};
use lb_userspace::source::controllers::{self, Memory, Objects};
use lb_userspace::source::manifests;
use lb_userspace::source::{Readiness, Settings};
use std::path::Path;
use tempfile::TempDir;

/// The node that reads.
pub(crate) const NODE: &str = "node";

/// Settings with few addresses, so that they run out.
pub(crate) fn settings() -> Settings {
    Settings {
        dir: "/nonexistent".into(),
        node: NODE.to_owned(),
        service_cidrs: ["10.96.0.0/27", "fd00:96::/123"].map(|cidr| cidr.parse().unwrap()).into(),
        node_port_range: Settings::NODE_PORTS,
        state_dir: "/nonexistent".into(),
        exec_probes: false,
    }
}

/// A state folder that is in memory, where there is such a place: files in it are replaced, and
/// replacing waits for the disk.
pub(crate) fn state_dir() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// The objects of a file.
pub(crate) fn objects(text: &str) -> (Objects, Vec<Problem>) {
    manifests::objects(Path::new("fuzz.yaml"), text)
}

/// What a control plane would make of them.
pub(crate) fn derive(objects: &Objects, memory: &mut Memory) -> (Snapshot, Vec<Problem>) {
    controllers::derive(objects, &settings(), memory, &Readiness::default())
}

/// Problems are shown on terminals, one a line.
pub(crate) fn assert_shown_in_a_line(problems: &[Problem]) {
    for problem in problems {
        let line = problem.to_string();
        let control = line.chars().find(|char| char.is_control());
        assert_eq!(control, None, "in {line:?}");
        assert!(line.len() < 4096, "{} bytes of {line:.200}", line.len());
    }
}
