//! Asks again and again, for one probe: the timing of the kubelet's `prober/worker.go`.

use super::board::Board;
use super::check::Outcome;
use super::probe::Probe;
use super::threshold::Run;
use crate::source::readiness::Probed;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Where results go.
pub(super) struct Desk {
    /// What the probe is about.
    pub(super) probed: Probed,
    /// Who keeps what is known.
    pub(super) board: Arc<Board>,
    /// It is ready by what an agent before this one found: it does not begin anew.
    pub(super) goes_on: bool,
}

/// How long the first check waits, by how long the agent has run: probes of an agent that has just
/// started are spread over their period, those of later Pods begin at once.
pub(super) fn head_start(period: Duration, agent_age: Duration) -> Duration {
    if period > agent_age { period.mul_f64(fastrand::f64()) } else { Duration::ZERO }
}

/// Makes the probe until it is dropped; `check` asks once.
pub(super) async fn run<F: Future<Output = Outcome>>(
    probe: Probe,
    desk: Desk,
    head_start: Duration,
    check: impl Fn(Probe) -> F,
) {
    let born = Instant::now();
    sleep(head_start).await;
    let mut ticks = interval(probe.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut run = Run::default();
    loop {
        ticks.tick().await;
        // Whole periods are passed over, as with the kubelet.
        if born.elapsed() < probe.initial_delay && !desk.goes_on {
            continue;
        }
        match check(probe.clone()).await {
            Outcome::Success => desk.note(true, &mut run, &probe, String::new()),
            Outcome::Failure(why) => desk.note(false, &mut run, &probe, why),
            Outcome::Void(why) => desk.board.excuse(&desk.probed, &why),
        }
    }
}

impl Desk {
    fn note(&self, succeeded: bool, run: &mut Run, probe: &Probe, why: String) {
        tracing::debug!(probe = %self.probed, succeeded, why, "probed");
        match run.note(succeeded, probe.thresholds) {
            Some(ready) => self.board.set(&self.probed, ready, &why),
            None if succeeded => {}
            None => self.board.excuse(&self.probed, &why),
        }
    }
}
