//! What libFuzzer says while it works, read from its lines.

use std::time::Duration;

/// How far a target came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Inputs that were tried.
    pub(super) runs: u64,
    /// Branches that were reached.
    pub(super) coverage: u64,
    /// The same, with how often and with which comparisons.
    pub(super) features: u64,
    /// Inputs that were kept because they reached something.
    pub(super) corpus: u64,
}

impl Status {
    /// Takes in a line: `#1024 NEW cov: 90 ft: 120 corp: 8/2Kb exec/s: 512 rss: 40Mb`, or one of
    /// the figures at the end.
    pub(super) fn update(&mut self, line: &str) {
        if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = runs.trim().parse().unwrap_or(self.runs);
            return;
        }
        let Some((runs, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t'))
        else {
            return;
        };
        let Ok(runs) = runs.parse() else { return };
        let mut words = rest.split_whitespace();
        self.runs = runs;
        while let Some(word) = words.next() {
            let field = match word {
                "cov:" => &mut self.coverage,
                "ft:" => &mut self.features,
                "corp:" => &mut self.corpus,
                _ => continue,
            };
            let number = words.next().and_then(|value| value.split('/').next()?.parse().ok());
            *field = number.unwrap_or(*field);
        }
    }

    /// Inputs a second.
    pub(super) fn rate(&self, elapsed: Duration) -> u64 {
        self.runs / elapsed.as_secs().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_came() {
        let mut status = Status::default();
        status.update(
            "#1024\tNEW    cov: 90 ft: 120 corp: 8/2Kb lim: 64 exec/s: 512 rss: 40Mb L: 9/9",
        );
        let expected = Status { runs: 1024, coverage: 90, features: 120, corpus: 8 };
        assert_eq!(status, expected);
        status.update("stat::number_of_executed_units: 5000");
        assert_eq!(status, Status { runs: 5000, ..expected });
    }

    #[test]
    fn other_lines_say_nothing() {
        let mut status = Status::default();
        for line in ["", "INFO: Seed: 1", "#0\tREAD units: 3", "    #1 0x5 in main", "#x cov: 1"] {
            status.update(line);
        }
        assert_eq!(status, Status::default());
    }
}
