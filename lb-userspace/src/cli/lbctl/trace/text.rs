//! Answers in lines that people read: the packet before, what was found out, the packet after.

use super::entry::{Chosen, Door, Entry};
use super::finding::{Finding, Meaning, Place, Why};
use super::outcome::{Leaves, Outcome, Verdict};
use super::{Answer, Counted, Packet, Spread};
use crate::cli::lbctl::output::{Style, Tone, paint};
use crate::cli::lbctl::resource::conntrack::FlowView;
use crate::cli::lbctl::resource::frontends::{self, ChoiceView};
use crate::cli::lbctl::resource::links::LinkKind;
use crate::cli::lbctl::words::{port_name, some_span};
use std::fmt;

/// One packet, step by step.
pub(super) fn answer(answer: &Answer, style: Style) -> String {
    let mut lines = vec![format!("{}, {}", answer.packet, way_in(&answer.entry))];
    lines.extend(remark(answer).map(|text| labelled("link", &text)));
    lines.extend(answer.steps.iter().map(|finding| labelled(finding.label(), &finding.text())));
    lines.push(ending(&answer.outcome, style));
    lines.join("\n") + "\n"
}

/// Many connections, by what became of them.
pub(super) fn spread(spread: &Spread, style: Style) -> String {
    let Packet { protocol, from, to } = spread.packet;
    let total: usize = spread.outcomes.iter().map(|counted| counted.connections).sum();
    let packet = format!("{} {} -> {to}", protocol.name(), from.ip());
    let mut lines = vec![format!("{packet}, {}: {total} connections", way_in(&spread.entry))];
    let width = total.to_string().len();
    lines.extend(spread.outcomes.iter().map(|Counted { connections, outcome }| {
        let end = match (outcome.verdict, outcome.packet) {
            (Verdict::Translated, Some(packet)) => packet.to.to_string(),
            _ => painted(outcome, style),
        };
        format!("  {connections:>width$}  {end}")
    }));
    lines.join("\n") + "\n"
}

fn labelled(label: &str, text: &str) -> String {
    format!("  {label:<9} {text}")
}

fn way_in(entry: &Entry) -> String {
    match entry {
        Entry::Process { .. } => "from a process of this node".to_owned(),
        Entry::Link { link, .. } => format!("in by {} ({})", link.name, behind(link)),
    }
}

fn behind(link: &Door) -> &'static str {
    match (link.kind, link.xdp) {
        (LinkKind::Pod, _) => "pod",
        (LinkKind::Uplink, true) => "uplink with XDP",
        (LinkKind::Uplink, false) => "uplink",
        (LinkKind::None, _) => "not served",
    }
}

/// How the link was found, where that is not plain.
fn remark(answer: &Answer) -> Option<String> {
    let Entry::Link { chosen, .. } = &answer.entry else { return None };
    let from = answer.packet.from.ip();
    match chosen {
        Chosen::Named | Chosen::Route => None,
        Chosen::AnyPod => Some(format!("one of the pods' links: {from} is behind a bridge")),
        Chosen::AnyUplink => Some(format!("an uplink: no route to {from} leaves by a served link")),
    }
}

impl Finding {
    fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Flow { .. } => "flow",
            Self::Frontend { .. } => "frontend",
            Self::SourceRanges { .. } => "ranges",
            Self::Client { .. } => "client",
            Self::Choice(_) => "choice",
            Self::Affinity { .. } => "affinity",
            Self::Backend { .. } => "backend",
            Self::Source { .. } => "source",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Address { address, means } => format!("{address} {}", meaning(means)),
            Self::Flow { known: None } => "new".to_owned(),
            Self::Flow { known: Some(flow) } => known(flow),
            Self::Frontend { service, kind } => format!("{} ({kind})", port_name(service.as_ref())),
            Self::SourceRanges { admitted: true } => "the client is in them".to_owned(),
            Self::SourceRanges { admitted: false } => "the client is in none".to_owned(),
            Self::Client { inside, place } => client(*inside, *place),
            Self::Choice(choice) => choice_text(choice),
            Self::Affinity { backend: Some(backend) } => format!("remembered with {backend}"),
            Self::Affinity { backend: None } => "not remembered yet".to_owned(),
            Self::Backend { address: None, .. } => "none".to_owned(),
            Self::Backend { address: Some(address), local } => {
                format!("{address}, {}", if *local { "on this node" } else { "not on this node" })
            }
            Self::Source { replaced: None } => "kept".to_owned(),
            Self::Source { replaced: Some(replaced) } => {
                format!("replaced by {}: {}", replaced.by, replaced.why.text())
            }
        }
    }
}

fn meaning(means: &[Meaning]) -> String {
    let words = means.iter().map(|meaning| match meaning {
        Meaning::ClusterIp => "is a ClusterIP",
        Meaning::Service => "is an address of a Service",
        Meaning::NodePorts => "serves node ports",
        Meaning::Endpoint => "is an endpoint",
    });
    let words: Vec<&str> = words.collect();
    if words.is_empty() { "means nothing here".to_owned() } else { words.join(" and ") }
}

fn known(flow: &FlowView) -> String {
    let idle = some_span(flow.idle_s);
    format!("of {}, {}, idle {idle}", port_name(flow.service.as_ref()), flow.state)
}

fn client(inside: bool, place: Place) -> String {
    match (inside, place) {
        (_, Place::PodHere) => "inside, a pod of this node",
        (_, Place::Process) => "inside, a process of this node",
        (true, Place::Elsewhere) => "inside, by its address",
        (false, Place::Elsewhere) => "outside",
    }
    .to_owned()
}

fn choice_text(choice: &ChoiceView) -> String {
    let whose = if choice.local { "of this node" } else { "of the cluster" };
    let by = if choice.slots as usize > choice.endpoints {
        format!(", by a Maglev table of {} slots", choice.slots)
    } else {
        String::new()
    };
    let among = match (choice.verdict, choice.endpoints) {
        (frontends::Verdict::Reject, _) => "no usable endpoint".to_owned(),
        (frontends::Verdict::Drop, _) => "no usable endpoint of this node (Local)".to_owned(),
        (frontends::Verdict::Forward, 1) => format!("1 endpoint {whose}{by}"),
        (frontends::Verdict::Forward, count) => format!("{count} endpoints {whose}{by}"),
    };
    match choice.name_server {
        Some(own) => format!("the agent while it answers at {own}, else {among}"),
        None => among,
    }
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Hairpin => "the client has reached itself",
            Self::Always => "so it is wanted (--snat always)",
            Self::WayBack => "the answer has to come back this way",
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.protocol.name(), self.from, self.to)
    }
}

/// The packet after, or why there is none.
fn ending(outcome: &Outcome, style: Style) -> String {
    match (outcome.verdict, outcome.packet, &outcome.leaves) {
        (Verdict::Translated, Some(packet), Some(leaves)) => format!("{packet}, {leaves}"),
        _ => painted(outcome, style),
    }
}

fn painted(outcome: &Outcome, style: Style) -> String {
    let tone = match outcome.verdict {
        Verdict::Translated => Tone::Good,
        Verdict::Passed => Tone::Plain,
        Verdict::Refused | Verdict::Dropped => Tone::Bad,
    };
    paint(&outcome.sentence, tone, style)
}

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STACK: &str = "on through the host's stack";
        match self {
            Self::Stack(Some(link)) => write!(f, "{STACK}, out by {link}"),
            Self::Stack(None) => write!(f, "{STACK}, which has no route there"),
            Self::ToThisNode => write!(f, "{STACK}, to this node itself"),
            Self::Link(link) => write!(f, "out by {link} at once"),
            Self::Socket => f.pad("from the socket on"),
        }
    }
}
