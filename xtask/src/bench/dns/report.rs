//! What it came to, for people and for programs.

use super::case::{Case, Transport};
use super::load::{Count, Latency};
use super::stage::{Cpus, Peer};
use super::statistics::Spread;
use serde::{Serialize, Serializer};
use std::fmt;

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) core_dns: &'static str,
    pub(super) dnsperf: String,
    pub(super) cpus: Cpus,
    pub(super) rounds: u32,
    pub(super) seconds: u64,
    pub(super) rate: u32,
    pub(super) rows: Vec<Row>,
}

/// One case.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    case: &'static str,
    transport: Transport,
    #[serde(serialize_with = "summarized")]
    lb: Vec<Sample>,
    #[serde(serialize_with = "summarized")]
    core_dns: Vec<Sample>,
    /// The first through the second, round by round.
    #[serde(serialize_with = "summarized")]
    ratio: Vec<Sample>,
}

/// One server in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Answers a second, as many as possible.
    per_second: f64,
    /// Processor time of the server for each of them, in microseconds.
    cpu_us: f64,
    /// How long answers took at a rate, in microseconds.
    p50_us: f64,
    p99_us: f64,
}

/// A server in all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Summary {
    per_second: Spread,
    cpu_us: Spread,
    p50_us: Spread,
    p99_us: Spread,
}

impl Sample {
    /// `busy` is the server's processor time, in seconds.
    pub(super) fn new(count: Count, busy: f64, Latency { p50, p99 }: Latency) -> Self {
        let per_second = count.per_second();
        let cpu_us = busy * 1e6 / (per_second * count.seconds);
        Self { per_second, cpu_us, p50_us: p50, p99_us: p99 }
    }

    fn over(self, other: Self) -> Self {
        Self {
            per_second: self.per_second / other.per_second,
            cpu_us: self.cpu_us / other.cpu_us,
            p50_us: self.p50_us / other.p50_us,
            p99_us: self.p99_us / other.p99_us,
        }
    }
}

impl Row {
    /// Without samples yet.
    pub(super) fn new(case: &Case) -> Self {
        let (lb, core_dns, ratio) = (Vec::new(), Vec::new(), Vec::new());
        Self { case: case.name, transport: case.transport, lb, core_dns, ratio }
    }

    /// Adds what a round came to.
    pub(super) fn add(&mut self, lb: Sample, core_dns: Sample) {
        self.lb.push(lb);
        self.core_dns.push(core_dns);
        self.ratio.push(lb.over(core_dns));
    }
}

impl Summary {
    /// `None`: there was no round.
    fn of(samples: &[Sample]) -> Option<Self> {
        let spread = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
        Some(Self {
            per_second: spread(|sample| sample.per_second)?,
            cpu_us: spread(|sample| sample.cpu_us)?,
            p50_us: spread(|sample| sample.p50_us)?,
            p99_us: spread(|sample| sample.p99_us)?,
        })
    }
}

fn summarized<S: Serializer>(samples: &[Sample], serializer: S) -> Result<S::Ok, S::Error> {
    Summary::of(samples).serialize(serializer)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core_dns, dnsperf, cpus: Cpus { server, client }, .. } = self;
        let Self { rounds, seconds, rate, .. } = self;
        writeln!(f, "lb beside CoreDNS {core_dns}; dnsperf {dnsperf}")?;
        writeln!(f, "each server alone on processor {server}, dnsperf on processor {client}")?;
        writeln!(f, "{rounds} rounds of {seconds} s in turns: medians, and the range of Q/S")?;
        writeln!(f, "Q/S and CPU with 100 questions under way, P50 and P99 at {rate} a second\n")?;
        writeln!(
            f,
            "{:<12} {:<5} {:<8} {:>8} {:>17} {:>7} {:>7} {:>7}",
            "CASE", "BY", "SERVER", "Q/S", "MIN-MAX", "CPU US", "P50 US", "P99 US"
        )?;
        self.rows.iter().try_for_each(|row| write!(f, "{row}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = [&self.lb, &self.core_dns, &self.ratio].map(|samples| Summary::of(samples));
        let [Some(lb), Some(core_dns), Some(ratio)] = samples else { return Ok(()) };
        let (case, by) = (self.case, self.transport.word());
        for (peer, summary, digits) in [
            (Peer::Lb.to_string(), lb, [0, 1, 0]),
            (Peer::CoreDns.to_string(), core_dns, [0, 1, 0]),
            ("ratio".to_owned(), ratio, [2, 2, 2]),
        ] {
            let Summary { per_second: Spread { median, min, max }, cpu_us, p50_us, p99_us } =
                summary;
            let [rate, cpu, time] = digits;
            let range = format!("{min:.rate$}-{max:.rate$}");
            let (cpu_us, p50_us, p99_us) = (cpu_us.median, p50_us.median, p99_us.median);
            writeln!(
                f,
                "{case:<12} {by:<5} {peer:<8} {median:>8.rate$} {range:>17} {cpu_us:>7.cpu$} \
                 {p50_us:>7.time$} {p99_us:>7.time$}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        let case = &Case::all()[0];
        let sample = |completed, p99| {
            let count = Count { completed, seconds: 2.0 };
            Sample::new(count, 1.8, Latency { p50: 20.0, p99 })
        };
        let mut row = Row::new(case);
        row.add(sample(200_000, 40.0), sample(80_000, 160.0));
        row.add(sample(220_000, 44.0), sample(100_000, 110.0));
        row.add(sample(210_000, 60.0), sample(100_000, 120.0));
        row
    }

    #[test]
    fn a_table_has_medians_and_the_median_of_ratios() {
        assert_eq!(
            row().to_string(),
            "\
service      udp   lb         105000     100000-110000     8.6      20      44
service      udp   CoreDNS     50000       40000-50000    18.0      20     120
service      udp   ratio        2.20         2.10-2.50    0.45    1.00    0.40
"
        );
    }

    #[test]
    fn programs_are_told_the_same() {
        let json = serde_json::to_value(row()).unwrap();
        assert_eq!(json["lb"]["per_second"]["median"], 105_000.0);
        assert_eq!(json["core_dns"]["p99_us"]["max"], 160.0);
        assert_eq!(json["ratio"]["per_second"]["max"], 2.5);
        assert_eq!(json["transport"], "udp");
    }
}
