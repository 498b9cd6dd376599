//! What is known now, kept in one place for whoever asks, and told to whoever waits.

use crate::source::readiness::{Finding, Probed, Readiness};
use crate::source::report::short;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Letters of a reason.
const MOST_LETTERS: usize = 200;
/// The reason of what was never asked.
const UNASKED: &str = "readinessProbe: no result yet";

/// What is known now.
#[derive(Debug, Default)]
pub(super) struct Board {
    findings: Mutex<BTreeMap<Probed, Finding>>,
    /// Something became ready, or is not any more.
    turned: Notify,
    /// Only a reason is another one.
    reworded: Notify,
}

impl Board {
    /// All of it.
    pub(super) fn readiness(&self) -> Readiness {
        Readiness(self.lock().clone())
    }

    /// Waits until something becomes ready, or is not any more, that was not yet waited for.
    pub(super) async fn turned(&self) {
        self.turned.notified().await;
    }

    /// As `turned`, for reasons.
    pub(super) async fn reworded(&self) {
        self.reworded.notified().await;
    }

    /// From now on something is known of `probed`: what was known before, or that it is `ready` by
    /// what an earlier agent found.
    pub(super) fn begin(&self, probed: &Probed, ready: bool) {
        let reason = if ready { String::new() } else { UNASKED.to_owned() };
        self.lock().entry(probed.clone()).or_insert(Finding { ready, reason });
    }

    /// Forgets what `keep` does not know.
    pub(super) fn retain(&self, keep: impl Fn(&Probed) -> bool) {
        self.lock().retain(|probed, _| keep(probed));
    }

    /// Enough checks say so.
    pub(super) fn set(&self, probed: &Probed, ready: bool, why: &str) {
        let new = if ready { Finding { ready, reason: String::new() } } else { unready(why) };
        let mut findings = self.lock();
        // A probe that has just been ended has nothing to say any more.
        let Some(finding) = findings.get_mut(probed) else { return };
        if finding.ready != ready {
            if ready {
                tracing::info!(probe = %probed, "ready");
            } else {
                tracing::warn!(probe = %probed, reason = new.reason, "not ready any more");
            }
        }
        self.replace(finding, new);
    }

    /// A check says why it is not ready yet; what is ready stays so.
    pub(super) fn excuse(&self, probed: &Probed, why: &str) {
        let mut findings = self.lock();
        let Some(finding) = findings.get_mut(probed).filter(|finding| !finding.ready) else {
            tracing::debug!(probe = %probed, why, "a check failed");
            return;
        };
        self.replace(finding, unready(why));
    }

    fn replace(&self, finding: &mut Finding, new: Finding) {
        if *finding != new {
            let news = if finding.ready == new.ready { &self.reworded } else { &self.turned };
            *finding = new;
            news.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Probed, Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// It is not ready, for this reason.
pub(super) fn unready(why: &str) -> Finding {
    Finding { ready: false, reason: sentence(why) }
}

/// A server must not fill the screen.
fn sentence(why: &str) -> String {
    format!("readinessProbe: {}", short(why, MOST_LETTERS))
}
