//! When a probe's results change what is thought of an endpoint: the counting of the kubelet's
//! `prober/worker.go`. Pure.
//!
//! Only results that are the same in a row count, and the count goes on while the thought stays as
//! it is. A check that could not be made is no result: it neither counts nor breaks a row.

/// How many results of a kind, one after the other, change what is thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thresholds {
    /// `successThreshold`, 1 or more.
    pub(crate) success: u32,
    /// `failureThreshold`, 1 or more.
    pub(crate) failure: u32,
}

/// The results that were the same in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// What they were.
    succeeded: bool,
    /// How many.
    count: u32,
}

impl Run {
    /// Takes in a result; whether the endpoint is ready, once enough say so.
    pub(super) fn note(&mut self, succeeded: bool, thresholds: Thresholds) -> Option<bool> {
        let before = if self.succeeded == succeeded { self.count } else { 0 };
        *self = Self { succeeded, count: before.saturating_add(1) };
        let needed = if succeeded { thresholds.success } else { thresholds.failure };
        (self.count >= needed).then_some(succeeded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is thought after each result (`+`, `-`; `?` is no result), beginning with not ready.
    fn check(what: &str, success: u32, failure: u32, results: &str, thoughts: &str) {
        let (mut run, mut ready) = (Run::default(), false);
        let told: String = results
            .chars()
            .map(|result| {
                if result != '?' {
                    let said = run.note(result == '+', Thresholds { success, failure });
                    ready = said.unwrap_or(ready);
                }
                if ready { 'R' } else { '.' }
            })
            .collect();
        assert_eq!(told, thoughts, "{what}: {results}");
    }

    #[test]
    fn thresholds_count_as_the_kubelets() {
        check("one success makes ready by default", 1, 3, "+", "R");
        check("nobody is ready before a success", 1, 3, "---", "...");
        check("ready stays for two failures of three", 1, 3, "+--+", "RRRR");
        check("the third failure in a row ends it", 1, 3, "+---", "RRR.");
        check("a success between failures begins the count anew", 1, 3, "+--+--+---", "RRRRRRRRR.");
        check("one success brings it back", 1, 3, "+---+", "RRR.R");
        check("two successes are asked for", 2, 1, "++", ".R");
        check("a failure between successes begins the count anew", 2, 1, "+-+-++", ".....R");
        check(
            "a failure below its threshold still breaks a row of successes",
            3,
            2,
            "++-+++",
            ".....R",
        );
        check("a check that could not be made breaks no row", 2, 2, "+?+-?-", "..RRR.");
        check("checks that cannot be made change nothing", 1, 1, "+????", "RRRRR");
        check("a threshold of one failure ends it at once", 1, 1, "+-+-", "R.R.");
    }

    #[test]
    fn a_long_run_does_not_overflow() {
        let mut run = Run { succeeded: true, count: u32::MAX };
        assert_eq!(run.note(true, Thresholds { success: 1, failure: 1 }), Some(true));
    }
}
