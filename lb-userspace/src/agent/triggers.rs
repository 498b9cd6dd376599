//! Changes of endpoints on their way into the maps: how long did they take?
//!
//! As kube-proxy does it: changes from before the agent's start are not measured, nor are slices
//! that go, because they still say what they were changed for before.

use crate::compile::Family;
use crate::model::{ObjectName, Trigger};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is measured, by Service.
#[derive(Debug)]
pub(super) struct Triggers {
    /// Milliseconds since 1970.
    started_ms: i64,
    waiting: BTreeMap<ObjectName, Vec<Trigger>>,
}

impl Triggers {
    /// Measures what happens after this moment.
    pub(super) fn since(started_ms: i64) -> Self {
        Self { started_ms, waiting: BTreeMap::new() }
    }

    /// A slice of a Service has come or changed.
    pub(super) fn note(&mut self, service: &ObjectName, trigger: Option<Trigger>) {
        if let Some(trigger) = trigger.filter(|trigger| trigger.at_ms > self.started_ms) {
            self.waiting.entry(service.clone()).or_default().push(trigger);
        }
    }

    /// A slice of a Service is gone.
    pub(super) fn forget(&mut self, service: &ObjectName) {
        self.waiting.remove(service);
    }

    /// Everything that waited is in the maps now: how long each took.
    pub(super) fn take(&mut self, now_ms: i64) -> Vec<(Family, Duration)> {
        let waited = std::mem::take(&mut self.waiting).into_values().flatten();
        let took = |Trigger { at_ms, ipv6 }| {
            let family = if ipv6 { Family::V6 } else { Family::V4 };
            // The control plane's clock may be ahead of this one.
            let took_ms = u64::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0);
            (family, Duration::from_millis(took_ms))
        };
        waited.map(took).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_000_000;

    fn trigger(after_ms: i64) -> Trigger {
        Trigger { at_ms: START + after_ms, ipv6: after_ms % 2 == 1 }
    }

    #[test]
    fn each_change_since_the_start_is_measured_once() {
        let mut triggers = Triggers::since(START);
        let [web, dns, old] = ["web", "dns", "old"].map(|name| ObjectName::new("ns", name));
        triggers.note(&web, Some(trigger(500)));
        triggers.note(&web, Some(trigger(701)));
        triggers.note(&dns, None);
        triggers.note(&old, Some(trigger(0)));
        let ms = Duration::from_millis;
        let took = triggers.take(START + 1_000);
        assert_eq!(took, [(Family::V4, ms(500)), (Family::V6, ms(299))]);
        assert_eq!(triggers.take(START + 2_000), []);
    }

    #[test]
    fn a_slice_that_goes_is_not_measured() {
        let mut triggers = Triggers::since(START);
        let web = ObjectName::new("ns", "web");
        triggers.note(&web, Some(trigger(500)));
        triggers.forget(&web);
        assert_eq!(triggers.take(START + 1_000), []);
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_negative() {
        let mut triggers = Triggers::since(START);
        triggers.note(&ObjectName::new("ns", "web"), Some(trigger(2_000)));
        assert_eq!(triggers.take(START + 1_000), [(Family::V4, Duration::ZERO)]);
    }
}
