//! What is expected of connections, and how it is told: one line each, a tick and who answered.

use crate::lab::Host;
use crate::lab::traffic::connect::{self, Report};
use crate::step::mark;
use anyhow::{Context, Result, bail};
use std::net::SocketAddr;

/// Connections of one line: enough that chance does not fake an even spread, nor a failure.
const COUNT: u32 = 300;

/// Connects from `host`, expects something of the answers, and prints who answered.
pub(super) fn visit(
    who: &str,
    host: &Host,
    to: &str,
    expect: impl FnOnce(&Report) -> Result<()>,
) -> Result<Report> {
    let address: SocketAddr = to.parse().with_context(|| format!("{to:?} is not ADDRESS:PORT"))?;
    let options = connect::Options::to(address).count(COUNT).parallel(8).give_up(8);
    let report = host.connect(&options)?;
    let line = format!("{who:<14} {to:<22} {}", answers(&report));
    let kept = expect(&report);
    println!("{} {line}", mark(kept.is_ok()));
    kept.with_context(|| format!("{who} to {to}"))?;
    Ok(report)
}

/// Each of `names`, and nobody else, answers about as often as the others.
pub(super) fn spread(report: &Report, names: &[&str]) -> Result<()> {
    whole(report)?;
    if !report.replies.keys().eq(names) {
        bail!("expected answers of {}, seen {}", names.join(", "), answers(report));
    }
    let share = COUNT / u32::try_from(names.len()).unwrap_or(u32::MAX);
    // With 300 connections and three servers, less than half a share is a chance in a billion.
    if report.replies.values().any(|count| *count < share / 2) {
        bail!("expected about {share} answers of each, seen {}", answers(report));
    }
    Ok(())
}

/// One and the same server answers everything.
pub(super) fn stay(report: &Report) -> Result<()> {
    whole(report)?;
    report.only().map(drop).with_context(|| format!("expected one, seen {}", answers(report)))
}

/// The servers are reached at this port of theirs.
pub(super) fn port(report: &Report, port: u16) -> Result<()> {
    match report.reached.iter().find(|reached| reached.port() != port) {
        Some(other) => bail!("expected port {port} of the pods, seen {other}"),
        None => Ok(()),
    }
}

fn whole(report: &Report) -> Result<()> {
    if !report.errors.is_empty() {
        bail!("expected {COUNT} answers, seen {}", answers(report));
    }
    Ok(())
}

/// Who answered how often, and what went wrong how often.
pub(super) fn answers(report: &Report) -> String {
    let replies = report.replies.iter().map(|(name, count)| format!("{name} {count:>3}"));
    let errors = report.errors.iter().map(|(kind, count)| format!("{kind}: {count}"));
    replies.chain(errors).collect::<Vec<_>>().join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(replies: &[(&str, u32)]) -> Report {
        let replies = replies.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Report { replies, ..Report::default() }
    }

    #[test]
    fn an_even_spread_is_one_over_all_and_only_these() {
        let even = report(&[("a", 140), ("b", 160)]);
        assert!(spread(&even, &["a", "b"]).is_ok());
        assert!(spread(&even, &["a"]).is_err());
        assert!(spread(&even, &["a", "b", "c"]).is_err());
        assert!(spread(&report(&[("a", 10), ("b", 290)]), &["a", "b"]).is_err());
    }

    #[test]
    fn a_failure_spoils_every_expectation() {
        let mut failed = report(&[("a", 299)]);
        assert!(stay(&failed).is_ok());
        failed.errors.insert("timed out".into(), 1);
        assert!(stay(&failed).is_err());
    }

    #[test]
    fn a_client_that_moves_does_not_stay() {
        assert!(stay(&report(&[("a", 299), ("b", 1)])).is_err());
    }
}
