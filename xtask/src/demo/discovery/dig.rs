//! Questions by `dig`, and what is in its answers.

use crate::lab::Host;
use anyhow::{Context, Result};
use std::fmt;

/// The parts of an answer that are looked at; nobody's `.digrc` changes them.
const SHOWN: [&str; 8] =
    ["-r", "+noall", "+comments", "+answer", "+authority", "+additional", "+tries=1", "+timeout=2"];

/// A line of an answer: a record, or that there is none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    /// How long it may be kept, in seconds.
    pub(super) ttl: Option<u32>,
    /// Type and data, or why there are none.
    pub(super) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ttl {
            Some(ttl) => write!(f, "TTL {ttl:<2}  {}", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Asks from a host; `question` is what dig is told.
pub(super) fn ask(host: &Host, question: &str) -> Result<Vec<Line>> {
    let dig = host.program("dig").args(SHOWN).args(question.split(' '));
    let text = dig.run()?;
    read(&text).with_context(|| format!("reading what dig says:\n{text}"))
}

/// A part of what dig prints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer,
    Authority,
    Additional,
}

/// Answers, then what goes with them. Records come in any order; here those of a type are sorted,
/// behind the alias that led to them.
fn read(text: &str) -> Result<Vec<Line>> {
    let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    let status = status.context("no status")?;
    let records = records(text)?;
    let of = |wanted| {
        records.iter().filter(move |(section, _)| *section == wanted).map(|(_, record)| record)
    };
    let mut lines: Vec<Line> = of(Section::Answer).map(|record| record.line("")).collect();
    lines.sort_by_key(|line| (!line.text.starts_with("CNAME "), line.text.clone()));
    if status != "NOERROR" || lines.is_empty() {
        // The record says for how long there is none (RFC 2308, section 3).
        let ttl = of(Section::Authority).find(|record| record.kind == "SOA").map(|soa| soa.ttl);
        let text = if status == "NOERROR" { "no such record" } else { status };
        lines.push(Line { ttl, text: text.to_owned() });
    }
    let mut further: Vec<Line> =
        of(Section::Additional).map(|record| record.line("with ")).collect();
    further.sort();
    lines.append(&mut further);
    Ok(lines)
}

/// A record as dig prints it.
struct Record {
    ttl: u32,
    kind: String,
    data: String,
}

impl Record {
    fn line(&self, before: &str) -> Line {
        Line { ttl: Some(self.ttl), text: format!("{before}{} {}", self.kind, self.data) }
    }
}

fn records(text: &str) -> Result<Vec<(Section, Record)>> {
    let (mut records, mut section) = (Vec::new(), None);
    for line in text.lines() {
        match line {
            ";; ANSWER SECTION:" => section = Some(Section::Answer),
            ";; AUTHORITY SECTION:" => section = Some(Section::Authority),
            ";; ADDITIONAL SECTION:" => section = Some(Section::Additional),
            _ if line.is_empty() || line.starts_with(';') => {}
            _ => {
                let section = section.with_context(|| format!("{line:?} is in no section"))?;
                let record = record(line).with_context(|| format!("{line:?} is no record"))?;
                records.push((section, record));
            }
        }
    }
    Ok(records)
}

/// `OWNER TTL CLASS TYPE DATA`
fn record(line: &str) -> Option<Record> {
    let mut words = line.split_whitespace().skip(1);
    let ttl = words.next()?.parse().ok()?;
    let kind = words.nth(1)?.to_owned();
    Some(Record { ttl, kind, data: words.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        read(text).unwrap().iter().map(Line::to_string).collect()
    }

    #[test]
    fn records_are_told_with_their_times() {
        let text = "\
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
;; flags: qr aa rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 2

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
;; ANSWER SECTION:
_a._tcp.b.\t5\tIN\tSRV\t0 50 80 d.
_a._tcp.b.\t5\tIN\tSRV\t0 50 80 c.

;; ADDITIONAL SECTION:
c.\t\t\t5\tIN\tA\t192.0.2.1
";
        let expected =
            ["TTL 5   SRV 0 50 80 c.", "TTL 5   SRV 0 50 80 d.", "TTL 5   with A 192.0.2.1"];
        assert_eq!(told(text), expected);
    }

    #[test]
    fn an_alias_comes_before_what_it_leads_to() {
        let text = "\
;; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1

;; ANSWER SECTION:
b.\t30\tIN\tA\t192.0.2.1
a.\t5\tIN\tCNAME\tb.

;; AUTHORITY SECTION:
.\t60\tIN\tSOA\tns. me. 1 2 3 4 60
";
        assert_eq!(told(text), ["TTL 5   CNAME b.", "TTL 30  A 192.0.2.1", "TTL 60  NXDOMAIN"]);
    }

    #[test]
    fn nothing_is_told_as_nothing() {
        let header = ";; ->>HEADER<<- opcode: QUERY, status: ";
        assert_eq!(told(&format!("{header}NOERROR, id: 1\n")), ["no such record"]);
        assert_eq!(told(&format!("{header}REFUSED, id: 1\n")), ["REFUSED"]);
        assert!(read(";; connection timed out").is_err());
    }
}
