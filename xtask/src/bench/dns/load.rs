//! dnsperf: questions as fast as they are answered, or so many a second, and what it says of them.

use super::case::{Case, Transport};
use super::statistics;
use crate::lab::{Host, Program};
use anyhow::{Context, Result, ensure};
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

/// How many sockets ask.
const CLIENTS: usize = 20;
/// How many questions are on their way at a time when there is no other limit.
const OUTSTANDING: usize = 100;
/// How long after the last question dnsperf may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom a load is for, and who makes it.
#[derive(Clone, Debug)]
pub(super) struct Load<'a> {
    pub(super) host: &'a Host,
    /// The processor that dnsperf stays on.
    pub(super) cpu: usize,
    pub(super) server: SocketAddr,
}

/// What dnsperf counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Count {
    pub(super) completed: u64,
    pub(super) seconds: f64,
}

/// How long answers took, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Count {
    /// Answers a second.
    #[expect(clippy::cast_precision_loss, reason = "there are less than 2^52")]
    pub(super) fn per_second(self) -> f64 {
        self.completed as f64 / self.seconds
    }
}

impl Load<'_> {
    /// Asks every question once.
    pub(super) fn once(&self, case: &Case, file: &Path) -> Result<()> {
        let program = self.dnsperf(case.transport, file).args(["-n", "1"]);
        count(&program.patience(PATIENCE).run()?).map(drop)
    }

    /// Asks as fast as answers come.
    pub(super) fn full(&self, case: &Case, file: &Path, seconds: u64) -> Result<Count> {
        let program = self.dnsperf(case.transport, file).args(["-l", &seconds.to_string()]);
        count(&program.patience(Duration::from_secs(seconds) + PATIENCE).run()?)
    }

    /// Asks `rate` questions a second.
    pub(super) fn steady(
        &self,
        case: &Case,
        file: &Path,
        (rate, seconds): (u32, u64),
    ) -> Result<Latency> {
        let program = self.dnsperf(case.transport, file).args(["-v", "-Q", &rate.to_string()]);
        let program = program.args(["-l", &seconds.to_string()]);
        let said = program.patience(Duration::from_secs(seconds) + PATIENCE).run()?;
        count(&said)?;
        latency(&said)
    }

    fn dnsperf(&self, transport: Transport, file: &Path) -> Program {
        let (ip, port) = (self.server.ip().to_string(), self.server.port().to_string());
        let (clients, outstanding) = (CLIENTS.to_string(), OUTSTANDING.to_string());
        let program =
            self.host.program("dnsperf").cpu(self.cpu).args(["-d".as_ref(), file.as_os_str()]);
        program.args([
            "-s",
            &ip,
            "-p",
            &port,
            "-m",
            transport.word(),
            "-c",
            &clients,
            "-q",
            &outstanding,
        ])
    }
}

/// The version of the dnsperf in `PATH`.
pub(super) fn version() -> Result<String> {
    let missing = "dnsperf is missing: sudo apt-get install dnsperf (Debian, Ubuntu) or \
                   sudo dnf install dnsperf (Fedora)";
    // `-H` lists options, and the version before them.
    let output = Command::new("dnsperf").arg("-H").output().context(missing)?;
    let said = [output.stdout, output.stderr].concat();
    statistic(&String::from_utf8_lossy(&said), "Version")
}

/// Writes questions down for dnsperf, a file for each case.
pub(super) fn write(host: &Host, cases: &[Case]) -> Result<Vec<PathBuf>> {
    let folder = host.folder()?;
    let write = |(number, case): (usize, &Case)| {
        let file = folder.join(format!("questions-{number}"));
        let lines: Vec<String> = case.questions.iter().map(ToString::to_string).collect();
        fs::write(&file, lines.join("\n") + "\n")
            .with_context(|| format!("writing {}", file.display()))?;
        Ok(file)
    };
    cases.iter().enumerate().map(write).collect()
}

/// The statistics at the end of dnsperf's output. Lost questions are an error (the time that was
/// spent on waiting for answers spoils all other figures), and so are those that nobody looked into.
fn count(said: &str) -> Result<Count> {
    let completed = statistic(said, "Queries completed:")?;
    let lost: u64 = statistic(said, "Queries lost:")?;
    let seconds = statistic(said, "Run time (s):")?;
    ensure!(completed > 0 && lost == 0, "{completed} questions were answered, {lost} were lost");
    let codes = said.lines().find(|line| line.contains("Response codes:")).unwrap_or_default();
    let refused = ["SERVFAIL", "REFUSED"].iter().any(|code| codes.contains(code));
    ensure!(!refused, "not everything was answered: {}", codes.trim());
    Ok(Count { completed, seconds })
}

/// The first word behind a name at the beginning of a line.
fn statistic<T: FromStr<Err: Error + Send + Sync + 'static>>(said: &str, name: &str) -> Result<T> {
    let mut values = said.lines().filter_map(|line| line.trim_start().strip_prefix(name));
    let value = values.next_back().and_then(|value| value.split_whitespace().next());
    let value = value.with_context(|| format!("dnsperf does not say {name:?}"))?;
    value.parse().with_context(|| format!("dnsperf says {name:?} {value:?}"))
}

/// The times in lines such as `> NOERROR www.example.com A 0.000123`: the last word of each.
fn latency(said: &str) -> Result<Latency> {
    let answers = said.lines().filter(|line| line.starts_with("> "));
    let mut times = answers.map(time).collect::<Result<Vec<f64>>>()?;
    times.sort_by(f64::total_cmp);
    let percentile = |percent| statistics::percentile(&times, percent);
    let (p50, p99) = percentile(50).zip(percentile(99)).context("nothing was answered")?;
    Ok(Latency { p50, p99 })
}

fn time(line: &str) -> Result<f64> {
    let seconds = line.rsplit(' ').next().and_then(|word| word.parse::<f64>().ok());
    seconds.map(|seconds| seconds * 1e6).with_context(|| format!("no time is in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What dnsperf 2.10 writes.
    const SAID: &str = "\
DNS Performance Testing Tool
Version 2.10.0

[Status] Command line: dnsperf -s 127.0.0.1 -p 5301 -l 1 -v
> NOERROR api-000.team-00.svc.cluster.local. A 0.000100
> NXDOMAIN www-000.example.com.corp.example. AAAA 0.000300
> NOERROR api-002.team-00.svc.cluster.local. A 0.000200
[Status] Testing complete (time limit)

Statistics:

  Queries sent:         3
  Queries completed:    3 (100.00%)
  Queries lost:         0 (0.00%)

  Response codes:       NOERROR 2 (66.67%), NXDOMAIN 1 (33.33%)
  Average packet size:  request 52, response 68
  Run time (s):         1.500000
  Queries per second:   2.000000
";

    #[test]
    fn statistics_are_read() {
        let count = count(SAID).unwrap();
        assert_eq!(count, Count { completed: 3, seconds: 1.5 });
        assert!((count.per_second() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn questions_without_an_answer_and_missing_statistics_are_errors() {
        let lost = SAID.replace("lost:         0", "lost:         1");
        assert_eq!(count(&lost).unwrap_err().to_string(), "3 questions were answered, 1 were lost");
        let refused = SAID.replace("NXDOMAIN 1", "SERVFAIL 1");
        assert!(count(&refused).unwrap_err().to_string().contains("SERVFAIL 1 (33.33%)"));
        let cut = SAID.replace("Run time", "Ran");
        let error = count(&cut).unwrap_err().to_string();
        assert_eq!(error, "dnsperf does not say \"Run time (s):\"");
    }

    #[test]
    fn times_are_those_of_answers() {
        let Latency { p50, p99 } = latency(SAID).unwrap();
        assert!((p50 - 200.0).abs() < 1e-6 && (p99 - 300.0).abs() < 1e-6, "{p50} {p99}");
        // Whoever did not answer has no time.
        let silent = SAID.replace("A 0.000200", "A");
        let error = latency(&silent).unwrap_err().to_string();
        assert!(error.contains("api-002"), "{error}");
    }
}
