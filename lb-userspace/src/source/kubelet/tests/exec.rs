use super::*;
use crate::source::kubelet::probe::Command;
use nix::sched::{CloneFlags, unshare};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

fn command(line: &[&str], netns: Option<&Path>) -> Check {
    Check::Exec(Command {
        line: line.iter().map(ToString::to_string).collect(),
        environment: vec![("LB_ADDRESS".to_owned(), "10.0.0.1".to_owned())],
        netns: netns.map(PathBuf::from),
    })
}

async fn ended(line: &[&str]) -> Outcome {
    outcome(command(line, None)).await
}

#[tokio::test]
async fn exit_code_0_is_success_and_any_other_a_failure() {
    assert_eq!(ended(&["true"]).await, Outcome::Success);
    assert_eq!(ended(&["sh", "-c", "exit 7"]).await, failure("exit status: 7"));
    assert!(matches!(ended(&["sh", "-c", "kill -9 $$"]).await, Outcome::Failure(_)));
}

#[tokio::test]
async fn the_notes_probe_looks_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let file = file.to_str().unwrap();
    assert!(matches!(ended(&["ls", file]).await, Outcome::Failure(_)));
    fs::write(file, "").unwrap();
    assert_eq!(ended(&["ls", file]).await, Outcome::Success);
}

#[tokio::test]
async fn no_shell_is_between() {
    assert_eq!(ended(&["test", "$PATH", "=", "$PATH"]).await, Outcome::Success);
    assert_eq!(ended(&["test", "a;b", "=", "a;b"]).await, Outcome::Success);
}

#[tokio::test]
async fn the_environment_is_what_is_written_and_a_path() {
    let script =
        r#"test "$LB_ADDRESS" = 10.0.0.1 && test -n "$PATH" && test -z "$HOME$USER$CARGO""#;
    assert_eq!(ended(&["sh", "-c", script]).await, Outcome::Success);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_no_result() {
    let Outcome::Void(why) = ended(&["/nowhere/at-all"]).await else { panic!() };
    assert!(why.starts_with("starting \"/nowhere/at-all\": No such file"), "{why}");
}

#[tokio::test]
async fn who_says_much_is_read_to_the_end() {
    assert_eq!(
        ended(&["sh", "-c", "yes | head -c 1000000; exit 3"]).await,
        failure("exit status: 3")
    );
}

#[tokio::test]
async fn who_has_not_ended_in_time_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("late");
    let script = format!("(sleep 5; touch {0}) & sleep 5; touch {0}", file.display());
    let start = Instant::now();
    let outcome = outcome_soon(command(&["sh", "-c", &script], None)).await;
    assert_eq!(outcome, failure("has not ended within 1 s"));
    assert!(start.elapsed() < 5 * SECOND);
    tokio::time::sleep(5 * SECOND).await;
    assert!(!file.exists(), "something lived on");
}

#[tokio::test]
async fn a_child_that_keeps_the_output_open_does_not_keep_the_probe() {
    assert_eq!(ended(&["sh", "-c", "sleep 30 & exit 0"]).await, Outcome::Success);
}

/// Runs `ask` with the file of a network namespace that has no links that are up.
async fn in_a_namespace(line: &[&str]) -> Outcome {
    let (tell, told) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel::<()>();
    let keeper = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(nix::unistd::gettid()).unwrap();
        let _ = finished.recv();
    });
    let netns = PathBuf::from(format!("/proc/self/task/{}/ns/net", told.recv().unwrap()));
    let outcome = outcome(command(line, Some(&netns))).await;
    drop(finish);
    keeper.join().unwrap();
    outcome
}

/// Needs root.
#[tokio::test]
async fn a_command_runs_in_the_network_namespace_that_is_named_and_nobody_else_does() {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let script = format!("test \"$(readlink /proc/self/ns/net)\" != '{}'", own.display());
    assert_eq!(in_a_namespace(&["sh", "-c", &script]).await, Outcome::Success);
    let script = script.replace("!=", "=");
    assert_eq!(ended(&["sh", "-c", &script]).await, Outcome::Success);
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_no_result() {
    let gone = Path::new("/run/netns/not-there");
    let Outcome::Void(why) = outcome(command(&["true"], Some(gone))).await else { panic!() };
    assert!(why.starts_with("entering network namespace /run/netns/not-there: No such"), "{why}");
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for file in [Path::new("/etc/hostname"), &pipe] {
        let Outcome::Void(why) = outcome(command(&["true"], Some(file))).await else { panic!() };
        assert!(why.ends_with(": it is no namespace"), "{why}");
    }
}

#[tokio::test]
async fn a_check_that_nobody_waits_for_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let [begun, late] = ["begun", "late"].map(|name| folder.path().join(name));
    let script = format!(
        "(sleep 2; touch {1}) & touch {0}; sleep 2; touch {1}",
        begun.display(),
        late.display()
    );
    let task = tokio::spawn(async move { ended(&["sh", "-c", &script]).await });
    while !begun.exists() {
        tokio::time::sleep(SECOND / 100).await;
    }
    task.abort();
    assert!(task.await.is_err());
    tokio::time::sleep(3 * SECOND).await;
    assert!(!late.exists(), "something lived on");
}
