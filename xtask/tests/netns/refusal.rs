//! Where an agent cannot run, it says so in one sentence and touches nothing.

use crate::expect::{answer, http};
use crate::patience::LONG;
use crate::stage::{HTTP, PODS, Stage, vips};
use nix::unistd::{Gid, Uid};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use xtask::lab::agent::{self, built};
use xtask::lab::{Host, Lab};

/// Where addresses of Services come from.
const SERVICES: &str = "10.96.0.0/16,fd00:10:96::/112";

/// The user without rights, by number: a container may have no name for it.
const NOBODY: u32 = 65_534;

#[test]
fn a_second_agent_with_the_same_folders_says_so_and_the_first_works_on() {
    let stage = Stage::new();
    let node = &stage.network.node;
    let mut second = agent::program(node, stage.manifests()).unwrap().spawn().unwrap();
    assert!(!second.wait(LONG).unwrap().success());
    says(&second.stderr(), "another lb-agent runs with");
    answer(node, &http(vips(HTTP)[0], 60), &PODS);

    let cleanup = node.program(built("lb-agent").unwrap()).args(["cleanup", "--bpffs"]);
    let cleanup = cleanup.args([node.bpffs().unwrap()]);
    let mut cleanup = cleanup.args(["--state-dir".into(), stage.state()]).spawn().unwrap();
    assert!(!cleanup.wait(LONG).unwrap().success());
    says(&cleanup.stderr(), "another lb-agent runs with");
    answer(node, &http(vips(HTTP)[0], 60), &PODS);
}

#[test]
fn a_folder_that_is_no_bpffs_is_named() {
    let lab = Lab::new().unwrap();
    let node = lab.host("node").unwrap();
    let folder = node.folder().unwrap();
    says(&run(&node, &folder.join("pins"), &folder), "is not on a BPF file system");
    assert!(!folder.join("pins").exists());
}

#[test]
fn a_cgroup_that_does_not_exist_is_named_and_pods_are_served_all_the_same() {
    let stage = Stage::idle();
    let [shell, node, _] = stage.clients();
    let agent = node.program(built("lb-agent").unwrap()).args(["run", "--node", "node"]);
    let agent = agent.args(["--manifests".as_ref(), stage.manifests().as_os_str()]);
    let agent = agent.args(["--bpffs".into(), node.bpffs().unwrap()]);
    let agent = agent.args(["--state-dir".into(), stage.state()]);
    let agent = agent.args(["--cgroup", "/nowhere", "--service-cidr"]).args([SERVICES]);
    let mut agent = agent.spawn().unwrap();
    stage.await_problem(&["/nowhere"]);
    answer(shell, &http(vips(HTTP)[0], 60), &PODS);
    assert_eq!(stage.status()["synced"], false, "processes of the node are not served");
    assert!(agent.wait_for("ready", Duration::from_millis(100)).is_err());
}

#[test]
fn without_root_the_agent_says_what_it_needs() {
    let lab = Lab::new().unwrap();
    let node = lab.host("node").unwrap();
    let folder = node.folder().unwrap();
    // Where it was built may be a folder that nobody else can enter.
    let program = folder.join("lb-agent");
    fs::copy(built("lb-agent").unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for verb in [&["run", "--manifests", "/nowhere"][..], &["cleanup"], &["check"]] {
        let mut command = Command::new(&program);
        command.args(verb).uid(Uid::from_raw(NOBODY).as_raw()).gid(Gid::from_raw(NOBODY).as_raw());
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{verb:?}");
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        assert!(all.contains("root") && all.contains("sudo lb-agent"), "{verb:?}: {all}");
    }
}

#[test]
fn check_prints_its_findings_and_finds_this_machine_good() {
    let lab = Lab::new().unwrap();
    let node = lab.host("node").unwrap();
    let check = |more: &[&str]| {
        let agent = node.program(built("lb-agent").unwrap()).args(["check", "--bpffs"]);
        agent.args([node.bpffs().unwrap()]).args(more).run().unwrap()
    };
    let text = check(&[]);
    for feature in ["rights", "bpffs", "cgroup v2", "TC programs", "XDP program", "socket programs"]
    {
        let line = text.lines().find(|line| line.starts_with(feature));
        assert!(line.is_some_and(|line| line.contains(" ok ")), "{feature}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&check(&["--json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), text.lines().count());
    assert_eq!(fs::read_dir(node.bpffs().unwrap()).unwrap().count(), 0, "something was pinned");
}

/// Runs an agent that is to fail; what it says.
fn run(node: &Host, bpffs: &Path, state: &Path) -> String {
    let agent = node.program(built("lb-agent").unwrap()).args(["run", "--manifests"]);
    let agent = agent.args([state, Path::new("--bpffs"), bpffs, Path::new("--state-dir"), state]);
    let mut agent = agent.spawn().unwrap();
    assert!(!agent.wait(LONG).unwrap().success());
    agent.stderr()
}

/// One line, and this sentence in it.
fn says(stderr: &str, sentence: &str) {
    assert!(stderr.contains(sentence) && stderr.lines().count() == 1, "{stderr}");
}
