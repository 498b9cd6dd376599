//! `xtask demo`: what a person sees first.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

#[test]
fn the_demo_holds_twice_in_a_row_and_leaves_nothing() {
    for _ in 0..2 {
        let (id, output) = demo(&[]);
        assert!(output.contains("kubia-3 gets no connections any more"), "{output}");
        assert!(!output.contains('✗'), "{output}");
        assert_eq!(traces(&id), [""; 0]);
    }
}

#[test]
fn names_are_found_by_every_resolver() {
    let (id, output) = demo(&["discovery"]);
    for client in ["✓ dig ", "✓ glibc ", "✓ musl ", "told a probe: not ready after"] {
        assert!(output.contains(client), "{client} is missing: {output}");
    }
    assert!(!output.contains('✗'), "{output}");
    assert_eq!(traces(&id), [""; 0]);
}

/// Runs a story to its good end; the beginning of its lab's name, and all that it printed.
fn demo(story: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    // It would build first, but a test may run while cargo holds its lock.
    command.arg("demo").args(story).env("LB_XTASK_BUILT", "1").stdout(std::process::Stdio::piped());
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let id = format!("lb-{}-", child.id());
    let output = thread::spawn(|| child.wait_with_output()).join().unwrap().unwrap();
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all).into_owned();
    assert!(output.status.success(), "{all}");
    (id, all)
}

/// Everything on this machine that bears a lab's name: namespaces (and with them links), claims,
/// pins, cgroups (and with them processes).
fn traces(id: &str) -> Vec<String> {
    let folders =
        ["/run/netns", "/run/lb-lab", "/sys/fs/bpf", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let entries = folders.iter().filter_map(|folder| fs::read_dir(Path::new(folder)).ok());
    let names = entries.flatten().flatten().map(|entry| entry.path().display().to_string());
    names.filter(|name| name.contains(id)).collect()
}
