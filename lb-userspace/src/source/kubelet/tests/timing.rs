use super::*;
use crate::model::ObjectName;
use crate::source::document::{Key, Kind};
use crate::source::kubelet::News;
use crate::source::kubelet::board::Board;
use crate::source::kubelet::worker::{self, Desk};
use crate::source::readiness::{Probed, Readiness, Verdict};
use std::sync::{Arc, Mutex};
use tokio::time::{Instant, sleep};

fn name() -> ObjectName {
    ObjectName::new("default", "web")
}

fn probed() -> Probed {
    Probed {
        object: Key { kind: Kind::Pod, name: name() },
        address: "10.0.0.1".parse().unwrap(),
        container: "c".to_owned(),
    }
}

fn verdict(readiness: &Readiness) -> String {
    match readiness.pod(&name()) {
        Verdict::Unprobed => "unprobed".to_owned(),
        Verdict::Ready => "ready".to_owned(),
        Verdict::NotReady(why) => why.to_owned(),
    }
}

/// What the same probe is told again and again, and when.
struct Case {
    probe: Probe,
    /// By an agent before this one.
    was_ready: bool,
    head_start: Duration,
    /// How long each check takes.
    takes: Duration,
    /// `+`, `-` or `?` for each check; the last one goes on.
    results: &'static str,
}

impl Case {
    fn new(results: &'static str) -> Self {
        Self {
            probe: probe(Check::Tcp(Place { host: String::new(), port: 1 })),
            was_ready: false,
            head_start: Duration::ZERO,
            takes: Duration::ZERO,
            results,
        }
    }

    /// When checks began and when it was thought otherwise, in seconds, until `end`.
    async fn history(self, end: u64) -> (Vec<u64>, Vec<(u64, String)>) {
        let start = Instant::now();
        let board = Arc::<Board>::default();
        board.begin(&probed(), self.was_ready);
        let desk = Desk { probed: probed(), board: Arc::clone(&board), goes_on: self.was_ready };
        let checks = Arc::new(Mutex::new(Vec::new()));
        let (asked, takes, results) = (Arc::clone(&checks), self.takes, self.results);
        let check = move |_| {
            let mut asked = asked.lock().unwrap();
            let result = results.chars().nth(asked.len()).or(results.chars().last());
            asked.push(start.elapsed().as_secs());
            async move {
                sleep(takes).await;
                match result {
                    Some('+') => Outcome::Success,
                    Some('-') => failure("HTTP 503"),
                    _ => Outcome::Void("nobody".to_owned()),
                }
            }
        };
        let task = tokio::spawn(worker::run(self.probe, desk, self.head_start, check));
        let mut thoughts = Vec::new();
        while start.elapsed() < Duration::from_secs(end) {
            // Half a second off, so that what happens at a whole second has happened.
            sleep(Duration::from_millis(500)).await;
            let thought = verdict(&board.readiness());
            if thoughts.last().is_none_or(|(_, last)| *last != thought) {
                thoughts.push((start.elapsed().as_secs(), thought));
            }
        }
        task.abort();
        let checks = checks.lock().unwrap().clone();
        (checks, thoughts)
    }
}

fn thoughts(expect: &[(u64, &str)]) -> Vec<(u64, String)> {
    expect.iter().map(|(at, what)| (*at, (*what).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_not_ready_before_its_first_success() {
    let (checks, seen) = Case::new("--+").history(25).await;
    assert_eq!(checks, [0, 10, 20]);
    assert_eq!(seen, thoughts(&[(0, "readinessProbe: HTTP 503"), (20, "ready")]));
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_take_it_out_and_one_success_brings_it_back() {
    let (_, seen) = Case::new("+--+---+").history(75).await;
    let expect = [(0, "ready"), (60, "readinessProbe: HTTP 503"), (70, "ready")];
    assert_eq!(seen, thoughts(&expect));
}

#[tokio::test(start_paused = true)]
async fn the_period_and_thresholds_are_those_of_the_probe() {
    let mut case = Case::new("-++-");
    case.probe.period = 2 * SECOND;
    case.probe.thresholds = Thresholds { success: 2, failure: 1 };
    let (checks, seen) = case.history(7).await;
    assert_eq!(checks, [0, 2, 4, 6]);
    let expect = [(0, "readinessProbe: HTTP 503"), (4, "ready"), (6, "readinessProbe: HTTP 503")];
    assert_eq!(seen, thoughts(&expect));
}

#[tokio::test(start_paused = true)]
async fn before_the_initial_delay_whole_periods_are_passed_over() {
    let mut case = Case::new("+");
    case.probe.initial_delay = 15 * SECOND;
    let (checks, seen) = case.history(35).await;
    assert_eq!(checks, [20, 30]);
    assert_eq!(seen, thoughts(&[(0, "readinessProbe: no result yet"), (20, "ready")]));
}

#[tokio::test(start_paused = true)]
async fn what_was_ready_before_the_agents_restart_stays_so_until_probes_say_otherwise() {
    let mut case = Case::new("-");
    case.was_ready = true;
    case.probe.initial_delay = 100 * SECOND;
    let (checks, seen) = case.history(25).await;
    assert_eq!(checks, [0, 10, 20], "the delay is over");
    assert_eq!(seen, thoughts(&[(0, "ready"), (20, "readinessProbe: HTTP 503")]));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_cannot_be_made_changes_nothing() {
    let (_, seen) = Case::new("?").history(35).await;
    assert_eq!(seen, thoughts(&[(0, "readinessProbe: nobody")]));
    let (_, seen) = Case::new("+?").history(65).await;
    assert_eq!(seen, thoughts(&[(0, "ready")]));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_long_leaves_out_those_that_it_missed() {
    let mut case = Case::new("+");
    case.takes = 25 * SECOND;
    let (checks, _) = case.history(60).await;
    assert_eq!(checks, [0, 25, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_head_start_moves_all_checks() {
    let mut case = Case::new("+");
    case.head_start = 7 * SECOND;
    case.probe.initial_delay = 5 * SECOND;
    assert_eq!(case.history(20).await.0, [7, 17]);
}

#[test]
fn only_probes_of_a_young_agent_are_spread() {
    for _ in 0..100 {
        assert!(worker::head_start(10 * SECOND, SECOND) < 10 * SECOND);
    }
    assert_eq!(worker::head_start(10 * SECOND, 10 * SECOND), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn new_reasons_are_told_every_five_seconds_and_who_comes_or_leaves_at_once() {
    let board = Arc::<Board>::default();
    let mut news = News::new(Arc::clone(&board));
    let mut heard = async |patience| tokio::time::timeout(patience, news.next()).await.is_ok();
    board.begin(&probed(), false);
    board.excuse(&probed(), "one");
    assert!(!heard(4 * SECOND).await);
    board.excuse(&probed(), "two");
    assert!(heard(2 * SECOND).await);
    board.excuse(&probed(), "three");
    assert!(!heard(4 * SECOND).await);
    board.set(&probed(), true, "");
    assert!(heard(Duration::ZERO).await);
    board.set(&probed(), false, "four");
    assert!(heard(Duration::ZERO).await);
    assert!(!heard(4 * SECOND).await);
}

#[tokio::test]
async fn who_waits_hears_only_what_is_new() {
    let board = Board::default();
    let told = async || tokio::time::timeout(Duration::ZERO, board.turned()).await.is_ok();
    let reworded = async || tokio::time::timeout(Duration::ZERO, board.reworded()).await.is_ok();
    let heard = async || told().await | reworded().await;
    board.begin(&probed(), false);
    assert!(!heard().await);
    board.set(&probed(), true, "");
    assert!(heard().await);
    board.set(&probed(), true, "");
    board.excuse(&probed(), "a failure below the threshold");
    assert!(!heard().await);
    board.set(&probed(), false, "HTTP 500");
    assert!(heard().await);
    board.excuse(&probed(), "HTTP 501");
    assert!(heard().await);
    assert_eq!(verdict(&board.readiness()), "readinessProbe: HTTP 501");
    board.retain(|_| false);
    board.set(&probed(), true, "");
    assert_eq!(verdict(&board.readiness()), "unprobed", "its probe has ended");
}
