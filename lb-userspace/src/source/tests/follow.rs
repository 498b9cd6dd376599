//! A folder, followed live.

use super::{service, settings};
use crate::model::{Change, Problem};
use crate::source::manifests::Manifests;
use crate::source::settings::Settings;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

/// Long enough for a look that had no hint, and for a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(3);
/// Longer than it takes to notice something that is there.
const A_WHILE: Duration = Duration::from_millis(700);

/// A folder, somebody who follows it, and what they heard.
struct Desk {
    root: TempDir,
    changes: Receiver<Change>,
    /// Services by name, with their type.
    services: BTreeMap<String, String>,
    problems: Vec<Problem>,
    synced: bool,
}

impl Desk {
    /// Follows `manifests` in a new folder, after `prepare` was there.
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let root = tempfile::tempdir().unwrap();
        prepare(&root.path().join("manifests"));
        Self::follow(root)
    }

    fn follow(root: TempDir) -> Self {
        let (tx, changes) = channel(64);
        let settings = Settings {
            dir: root.path().join("manifests"),
            state_dir: root.path().join("state"),
            ..settings(&["10.96.0.0/16"])
        };
        tokio::spawn(Manifests::new(settings).run(tx));
        Self { root, changes, services: BTreeMap::new(), problems: Vec::new(), synced: false }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("manifests")
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.dir().join(file), text).unwrap();
    }

    fn hear(&mut self, change: Change) {
        match change {
            Change::Service(name, Some(service)) => {
                self.services.insert(name.name, format!("{:?}", service.kind));
            }
            Change::Service(name, None) => {
                assert!(self.services.remove(&name.name).is_some(), "{name} was not there");
            }
            Change::Problems(problems) => self.problems = problems,
            Change::Synced => self.synced = true,
            Change::Slice(..) | Change::Node(_) | Change::Watched(..) => {}
        }
    }

    /// Waits until what was heard is `expect`.
    async fn until(&mut self, what: &str, expect: impl Fn(&Self) -> bool) {
        while !expect(self) {
            let Ok(change) = timeout(SOON, self.changes.recv()).await else {
                panic!("not heard: {what}; {:?} {:?}", self.services, self.problems);
            };
            self.hear(change.expect("the follower goes on"));
        }
    }

    /// Waits until exactly the services `expect` are known.
    async fn services(&mut self, expect: &[&str]) {
        let what = format!("services {expect:?}");
        self.until(&what, |desk| desk.synced && desk.services.keys().eq(expect)).await;
    }

    async fn problem(&mut self, words: &str) {
        self.until(words, |desk| {
            desk.problems.iter().any(|problem| problem.to_string().contains(words))
        })
        .await;
    }

    async fn silence(&mut self) {
        if let Ok(change) = timeout(A_WHILE, self.changes.recv()).await {
            panic!("nothing has changed, but {change:?}");
        }
    }
}

fn prepared(dir: &Path) {
    fs::create_dir(dir).unwrap();
    fs::write(dir.join("a.yaml"), service("a", "")).unwrap();
}

#[tokio::test]
async fn everything_is_reported_before_synced() {
    let mut desk = Desk::new(|dir| {
        prepared(dir);
        fs::create_dir(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/b.YML"), service("b", "")).unwrap();
        fs::write(
            dir.join("c.json"),
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"}}"#,
        )
        .unwrap();
        for leftover in
            [".a.yaml", ".#a.yaml", "a.yaml~", ".a.yaml.swp", "#a.yaml#", "a.yaml.bak", "README.md"]
        {
            fs::write(dir.join(leftover), service("wrong", "")).unwrap();
        }
        fs::create_dir(dir.join(".git")).unwrap();
        fs::write(dir.join(".git/x.yaml"), service("wrong", "")).unwrap();
    });
    let mut heard = Vec::new();
    while heard.last() != Some(&Change::Synced) {
        heard.push(timeout(SOON, desk.changes.recv()).await.unwrap().unwrap());
    }
    assert!(matches!(&heard[0], Change::Node(node) if node.name == "node-a"), "{heard:?}");
    for change in heard {
        desk.hear(change);
    }
    assert_eq!(desk.services.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    desk.silence().await;
}

#[tokio::test]
async fn files_that_come_change_move_and_go_are_followed() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    desk.write("b.yaml", &service("b", ""));
    desk.services(&["a", "b"]).await;
    desk.write("b.yaml", &service("b", "type: NodePort"));
    desk.until("NodePort", |desk| desk.services["b"] == "NodePort").await;
    // An editor's way: a new file under another name, then renamed over the old one.
    desk.write(".b.yaml.tmp", &service("b", "type: LoadBalancer"));
    fs::rename(desk.dir().join(".b.yaml.tmp"), desk.dir().join("b.yaml")).unwrap();
    desk.until("LoadBalancer", |desk| desk.services["b"] == "LoadBalancer").await;
    fs::remove_file(desk.dir().join("b.yaml")).unwrap();
    desk.services(&["a"]).await;
}

#[tokio::test]
async fn only_differences_are_sent() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    desk.write("a.yaml", &format!("# the same\n{}", service("a", "")));
    fs::rename(desk.dir().join("a.yaml"), desk.dir().join("z.yaml")).unwrap();
    desk.write("b.yaml", "apiVersion: apps/v1\nkind: Deployment\n");
    desk.silence().await;
}

#[tokio::test]
async fn folders_in_the_folder_are_followed() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    fs::create_dir_all(desk.dir().join("x/y")).unwrap();
    desk.write("x/y/b.yaml", &service("b", ""));
    desk.services(&["a", "b"]).await;
    fs::rename(desk.dir().join("x"), desk.root.path().join("away")).unwrap();
    desk.services(&["a"]).await;
}

#[tokio::test]
async fn a_broken_file_leaves_what_was_there_and_says_so() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    desk.write("a.yaml", "kind: Service\nmetadata:\n\tname: a\n");
    desk.problem("a.yaml document 1: line 3 is indented with a tab").await;
    assert_eq!(desk.services.len(), 1);
    desk.write("a.yaml", &service("a", ""));
    desk.until("no problems", |desk| desk.problems.is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_disappears_keeps_the_last_good_state_until_it_is_back() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    fs::remove_dir_all(desk.dir()).unwrap();
    desk.problem("cannot be listed (No such file or directory").await;
    assert_eq!(desk.services.len(), 1);
    fs::create_dir(desk.dir()).unwrap();
    desk.write("b.yaml", &service("b", ""));
    desk.services(&["b"]).await;
    desk.until("no problems", |desk| desk.problems.is_empty()).await;
    desk.write("c.yaml", &service("c", ""));
    desk.services(&["b", "c"]).await;
}

#[tokio::test]
async fn a_folder_that_another_takes_the_place_of_is_followed() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    let next = desk.root.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("b.yaml"), service("b", "")).unwrap();
    fs::rename(desk.dir(), desk.root.path().join("old")).unwrap();
    fs::rename(next, desk.dir()).unwrap();
    desk.services(&["b"]).await;
    desk.write("c.yaml", &service("c", ""));
    desk.services(&["b", "c"]).await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_at_the_start_is_not_synced() {
    let mut desk = Desk::new(|_| {});
    desk.problem("cannot be listed").await;
    desk.silence().await;
    assert!(!desk.synced);
    prepared(&desk.dir());
    desk.services(&["a"]).await;
}

/// Writes `text` as version `version` of a `ConfigMap` mount, as the kubelet does.
fn publish(dir: &Path, version: &str, text: &str) {
    let data = dir.join(version);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a.yaml"), text).unwrap();
    symlink(version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

#[tokio::test]
async fn a_config_map_mount_is_followed() {
    let mut desk = Desk::new(|dir| {
        fs::create_dir(dir).unwrap();
        publish(dir, "..2026_01_01", &service("a", ""));
        symlink("..data/a.yaml", dir.join("a.yaml")).unwrap();
    });
    desk.services(&["a"]).await;
    publish(&desk.dir(), "..2026_01_02", &service("b", ""));
    fs::remove_dir_all(desk.dir().join("..2026_01_01")).unwrap();
    desk.services(&["b"]).await;
}

#[tokio::test]
async fn targets_of_symlinks_outside_the_folder_are_followed() {
    let mut desk = Desk::new(|dir| {
        fs::create_dir(dir).unwrap();
        let target = dir.with_file_name("target.yaml");
        fs::write(&target, service("a", "")).unwrap();
        symlink(target, dir.join("a.yaml")).unwrap();
        symlink(dir, dir.join("loop")).unwrap();
        symlink("nowhere", dir.join("lost.yaml")).unwrap();
    });
    desk.services(&["a"]).await;
    fs::write(desk.root.path().join("target.yaml"), service("b", "")).unwrap();
    desk.services(&["b"]).await;
}

#[tokio::test]
async fn addresses_are_the_same_after_a_restart_in_another_company() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    let file = desk.root.path().join("state/allocations.json");
    let before = fs::read_to_string(&file).unwrap();
    let Desk { root, changes, .. } = desk;
    drop(changes);
    let mut desk = Desk::follow(root);
    desk.services(&["a"]).await;
    desk.write("b.yaml", &service("b", "clusterIP: 1.2.3.4"));
    desk.services(&["a", "b"]).await;
    let address = before.lines().find(|line| line.contains("10.96.")).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains(address));
}

#[tokio::test]
async fn a_service_that_is_gone_is_forgotten_but_not_while_a_file_is_broken() {
    let mut desk = Desk::new(prepared);
    desk.services(&["a"]).await;
    let remembered =
        |desk: &Desk| fs::read_to_string(desk.root.path().join("state/allocations.json")).unwrap();
    desk.write("broken.yaml", "\t");
    desk.write("broken.yaml", "kind: [\n");
    desk.problem("broken.yaml").await;
    fs::remove_file(desk.dir().join("a.yaml")).unwrap();
    desk.services(&[]).await;
    assert!(remembered(&desk).contains("default/a"));
    fs::remove_file(desk.dir().join("broken.yaml")).unwrap();
    desk.until("no problems", |desk| desk.problems.is_empty()).await;
    assert!(!remembered(&desk).contains("default/a"));
}

#[tokio::test]
async fn a_memory_that_says_nothing_is_a_problem_and_no_end() {
    let mut desk = Desk::new(|dir| {
        prepared(dir);
        let state = dir.with_file_name("state");
        fs::create_dir(&state).unwrap();
        fs::write(state.join("allocations.json"), "{").unwrap();
    });
    desk.services(&["a"]).await;
    desk.problem("started over").await;
}

#[tokio::test]
async fn files_that_no_manifest_can_be_are_named() {
    let mut desk = Desk::new(|dir| {
        prepared(dir);
        fs::write(dir.join("latin.yaml"), b"a: \xff\n").unwrap();
        fs::File::create(dir.join("huge.yaml")).unwrap().set_len(1 << 30).unwrap();
        nix::unistd::mkfifo(&dir.join("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
    desk.services(&["a"]).await;
    desk.problem("huge.yaml: is larger than 16 MiB").await;
    desk.problem("latin.yaml: is not UTF-8 (byte 3)").await;
}

#[tokio::test]
async fn it_ends_when_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let (tx, changes) = channel(64);
    let settings = Settings {
        dir: dir.path().to_owned(),
        state_dir: dir.path().join("state"),
        ..settings(&[])
    };
    let task = tokio::spawn(Manifests::new(settings).run(tx));
    drop(changes);
    timeout(SOON, task).await.unwrap().unwrap().unwrap();
}
