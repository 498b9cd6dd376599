//! What is expected of answers, and how it is told: one line each, a tick and what was answered.

use super::dig::{self, Line};
use super::library::{self, Library};
use crate::lab::Host;
use crate::lab::traffic::names;
use crate::step::mark;
use anyhow::{Context, Result, bail};
use std::ops::RangeInclusive;

/// How long answers about the cluster may be kept, in seconds (`--dns-ttl`).
const TTL: u32 = 5;

/// A line of an answer as it should be.
pub(super) struct Expected<'a> {
    text: &'a str,
    /// `None`: nothing is said about time.
    ttl: Option<RangeInclusive<u32>>,
}

/// A line that the agent says of its own cluster.
pub(super) fn ours(text: &str) -> Expected<'_> {
    kept(text, TTL)
}

/// A line to be kept that long.
pub(super) fn kept(text: &str, ttl: u32) -> Expected<'_> {
    Expected { text, ttl: Some(ttl..=ttl) }
}

/// A line that the agent was told by its upstream, maybe a while ago.
pub(super) fn theirs(text: &str) -> Expected<'_> {
    Expected { text, ttl: Some(0..=names::TTL) }
}

/// A line that is not to be kept.
pub(super) fn unkept(text: &str) -> Expected<'_> {
    Expected { text, ttl: None }
}

impl Expected<'_> {
    fn is(&self, line: &Line) -> bool {
        let in_time = match (&self.ttl, line.ttl) {
            (Some(range), Some(ttl)) => range.contains(&ttl),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        in_time && self.text == line.text
    }
}

/// Asks by dig, for what is in the cluster: these lines, each to be kept for five seconds.
pub(super) fn dig(host: &Host, question: &str, expected: &[&str]) -> Result<()> {
    let expected: Vec<_> = expected.iter().map(|text| ours(text)).collect();
    dig_for(host, question, &expected)
}

/// Asks by dig, expects these lines and no others, and prints what was answered.
pub(super) fn dig_for(host: &Host, question: &str, expected: &[Expected]) -> Result<()> {
    let lines = dig::ask(host, question)?;
    let seen: Vec<String> = lines.iter().map(Line::to_string).collect();
    let is_good = agree(&lines, expected);
    show(is_good, "dig", question, &seen);
    if !is_good {
        let expected: Vec<&str> = expected.iter().map(|line| line.text).collect();
        bail!("dig {question}: expected {}, seen {}", list(&expected), list(&seen));
    }
    Ok(())
}

fn agree(lines: &[Line], expected: &[Expected]) -> bool {
    lines.len() == expected.len()
        && expected.iter().zip(lines).all(|(expected, line)| expected.is(line))
}

/// Asks both libraries for the addresses of a name; none are expected if there is no such name.
pub(super) fn libraries(host: &Host, name: &str, expected: &[&str]) -> Result<()> {
    for library in Library::ALL {
        let found = library.addresses(host, name).with_context(|| named(library, name))?;
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        compare(library.name(), name, &found, expected)?;
    }
    Ok(())
}

/// Asks glibc for the names of an address.
pub(super) fn reverse(host: &Host, address: &str, expected: &[&str]) -> Result<()> {
    let found = library::names(host, address).with_context(|| named(Library::Glibc, address))?;
    compare(Library::Glibc.name(), address, &found.into_iter().collect::<Vec<_>>(), expected)
}

fn named(library: Library, question: &str) -> String {
    format!("asking {} for {question}", library.name())
}

fn compare(client: &str, question: &str, found: &[String], expected: &[&str]) -> Result<()> {
    let is_good = found == expected;
    show(is_good, client, question, &[list(found)]);
    if !is_good {
        bail!("{client} {question}: expected {}, seen {}", list(expected), list(found));
    }
    Ok(())
}

fn list<T: AsRef<str>>(words: &[T]) -> String {
    if words.is_empty() {
        return "not found".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// Prints who was asked what, and every line of the answer below the first one.
fn show(is_good: bool, client: &str, question: &str, answer: &[String]) {
    let mut answer = answer.iter();
    let first = answer.next().map_or("", String::as_str);
    println!("{} {client:<5}  {question:<48}  {first}", mark(is_good));
    for line in answer {
        println!("{:57}  {line}", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ttl: Option<u32>, text: &str) -> Line {
        Line { ttl, text: text.to_owned() }
    }

    #[test]
    fn every_line_is_expected_and_no_other_comes() {
        let lines = [line(Some(5), "A 10.0.0.1"), line(Some(5), "A 10.0.0.2")];
        assert!(agree(&lines, &[ours("A 10.0.0.1"), ours("A 10.0.0.2")]));
        assert!(!agree(&lines, &[ours("A 10.0.0.1")]));
        assert!(!agree(&lines[..1], &[ours("A 10.0.0.1"), ours("A 10.0.0.2")]));
        assert!(!agree(&lines[..1], &[ours("A 10.0.0.2")]));
    }

    #[test]
    fn times_are_expected_too() {
        let said = |ttl, expected: Expected| agree(&[line(ttl, "NXDOMAIN")], &[expected]);
        assert!(said(Some(5), ours("NXDOMAIN")));
        assert!(!said(Some(6), ours("NXDOMAIN")));
        assert!(said(Some(names::TTL - 1), theirs("NXDOMAIN")));
        assert!(!said(Some(names::TTL + 1), theirs("NXDOMAIN")));
        assert!(!said(None, ours("NXDOMAIN")));
        assert!(said(None, unkept("NXDOMAIN")));
    }
}
