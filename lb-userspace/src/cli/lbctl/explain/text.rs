//! Comparisons in words: per port of the Service what decides, its addresses, its endpoints.

use super::compare::{EndpointView, FrontendView, HeldEndpoint, NameServerView, PortView, Rules};
use super::{Agent, View};
use crate::cli::lbctl::output::{Cell, Column, Row, Style, Tone, list, paint};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::words::{NONE, joined, policy_name};
use crate::compile::Family;
use crate::compile::endpoint::Outcome;
use crate::compile::explain::{EndpointExplanation, UnusableExplanation};
use crate::compile::reason::{HintUse, Standing, Unjoined, Usage};
use std::net::SocketAddr;

/// All about a Service.
pub(super) fn text(view: &View, style: Style) -> String {
    let mut parts = vec![head(view, style)];
    parts.extend(view.ports.iter().map(|port| port_text(port, style)));
    let objections = objections(view);
    if !objections.is_empty() {
        parts.push(objections);
    }
    parts.extend(verdict(view, style));
    parts.join("\n")
}

fn head(view: &View, style: Style) -> String {
    let name = format!("Service {}\n", view.service);
    let remark = match (view.agent, &view.skipped) {
        (Agent::Answered, None) => return name,
        (Agent::Answered, Some(skipped)) => format!("not programmed: {}", skipped.sentence()),
        (Agent::Unknown, _) => "there is no such Service".to_owned(),
        (Agent::Starting, _) => {
            "the agent is starting and does not know yet what is wanted".to_owned()
        }
        (Agent::Down, _) => "the agent is down: what is wanted, and why, is not known".to_owned(),
    };
    format!("{name}{}\n", paint(&remark, Tone::Odd, style))
}

fn port_text(port: &PortView, style: Style) -> String {
    let family = if port.family == Family::V6 { "IPv6" } else { "IPv4" };
    let name = if port.name.is_empty() { String::new() } else { format!("{} ", port.name) };
    let rules = port.rules.as_ref().map(Rules::text).unwrap_or_default();
    let head = format!("Port {name}{}/{}, {family}\n{rules}", port.port, port.protocol.name());
    let endpoints = table(&port.endpoints, style);
    let endpoints = if endpoints.is_empty() { "no endpoints" } else { &endpoints };
    [head, indented(&table(&port.frontends, style)), indented(endpoints)].join("\n")
}

impl Rules {
    fn text(&self) -> String {
        let line = |label: &str, value: &str| format!("  {label:<17}{value}\n");
        let mut text = line("internal policy", policy_name(self.internal_policy));
        text += &line("external policy", self.external_policy.sentence());
        let hints = [("hints for nodes", self.node_hints), ("hints for zones", self.zone_hints)];
        for (label, hints) in hints.into_iter().filter(|(_, hints)| is_worth_a_line(*hints)) {
            text += &line(label, &hints.sentence());
        }
        if let Some(NameServerView { address, differs }) = &self.name_server {
            let held = if *differs { "; not so in the maps  (!)" } else { "" };
            let first = format!("{address}, before the endpoints while it answers{held}");
            text += &line("clients here", &first);
        }
        text
    }
}

fn is_worth_a_line(hints: HintUse) -> bool {
    !matches!(hints, HintUse::Absent | HintUse::NotAsked | HintUse::NobodyReady)
}

fn table<R: Row>(rows: &[R], style: Style) -> String {
    // A table cannot fail; only documents for programs can.
    list(rows, style).unwrap_or_default()
}

fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// What is wrong with the object.
fn objections(view: &View) -> String {
    let unusable = view.unusable.iter().map(|one| {
        let UnusableExplanation { object, field, text, why } = one;
        let text = if text.is_empty() { String::new() } else { format!(" {text:?}") };
        format!("Not usable: {object} {field}{text}: {}\n", why.sentence())
    });
    unusable.chain(view.problems.iter().map(|problem| format!("Problem: {problem}\n"))).collect()
}

/// Whether the maps are as they are wanted.
fn verdict(view: &View, style: Style) -> Option<String> {
    let line = |text: String, tone| Some(paint(&text, tone, style) + "\n");
    match (view.agent, view.differences) {
        (Agent::Down | Agent::Starting, _) => None,
        (_, 0) => line("The maps are as they are wanted".to_owned(), Tone::Good),
        (_, 1) => line("1 thing in the maps is not as it is wanted".to_owned(), Tone::Bad),
        (_, n) => line(format!("{n} things in the maps are not as they are wanted"), Tone::Bad),
    }
}

/// What is in the maps, marked if it is not as wanted.
fn held(what: &str, differs: bool) -> Cell {
    if differs { Cell::state(format!("{what}  (!)"), Tone::Bad) } else { Cell::new(what) }
}

impl Row for FrontendView {
    const COLUMNS: &'static [Column] = &[
        Column::new("FRONTEND"),
        Column::new("FIELD"),
        Column::new("WANTED"),
        Column::new("IN THE MAPS"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let place = match self.address {
            Some(ip) => SocketAddr::new(ip, self.port).to_string(),
            None => format!("*:{}", self.port),
        };
        let (field, wanted) = match &self.wanted {
            Some(wanted) => (wanted.field.as_str(), self.standing(&wanted.standing)),
            None => (NONE, nothing(self.differs)),
        };
        let there = if self.held { "yes" } else { "no" };
        vec![Cell::new(place), Cell::new(field), wanted, held(there, self.differs)]
    }

    fn is_selected(&self, _: &Selector) -> bool {
        true
    }
}

impl FrontendView {
    fn standing(&self, standing: &Standing) -> Cell {
        let guarded = self.wanted.as_ref().is_some_and(|wanted| wanted.guarded);
        let guard = if guarded { ", for loadBalancerSourceRanges" } else { "" };
        let tone = if *standing == Standing::Programmed { Tone::Good } else { Tone::Odd };
        Cell::state(format!("{}{guard}", standing.sentence()), tone)
    }
}

/// What is wanted where nobody says so.
fn nothing(is_known: bool) -> Cell {
    if is_known { Cell::state("not wanted", Tone::Odd) } else { Cell::new("?") }
}

impl Row for EndpointView {
    const COLUMNS: &'static [Column] = &[
        Column::new("ENDPOINT"),
        Column::new("NODE"),
        Column::wide("POD"),
        Column::wide("SLICE"),
        Column::new("WANTED"),
        Column::new("IN THE MAPS"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let place = match self.port {
            Some(port) => SocketAddr::new(self.address, port).to_string(),
            None => self.address.to_string(),
        };
        let wanted = self.wanted.as_ref();
        let node = wanted.and_then(|wanted| wanted.node.as_deref());
        let pod = wanted.and_then(|wanted| wanted.pod.as_deref());
        let slice = wanted.map(|wanted| wanted.slice.as_str());
        vec![
            Cell::new(place),
            Cell::new(node.unwrap_or(NONE)),
            Cell::new(pod.unwrap_or(NONE)),
            Cell::new(slice.unwrap_or(NONE)),
            wanted.map_or_else(|| nothing(self.differs), outcome),
            held(&self.held.as_ref().map_or("no".to_owned(), HeldEndpoint::text), self.differs),
        ]
    }

    /// With two families, every slice is of the other one for half of the ports.
    fn is_detail(&self) -> bool {
        let outcome = self.wanted.as_ref().map(|wanted| &wanted.outcome);
        matches!(outcome, Some(Outcome::NotJoined(Unjoined::OtherFamily)))
    }

    fn is_selected(&self, _: &Selector) -> bool {
        true
    }
}

impl HeldEndpoint {
    fn text(&self) -> String {
        let state = self.state.name();
        if self.used_for.is_empty() {
            format!("{state}, not used")
        } else {
            format!("{state}, used for {}", joined(&self.used_for))
        }
    }
}

/// What is wanted of an entry of a slice. A set that nobody chooses from is not worth a word.
fn outcome(wanted: &EndpointExplanation) -> Cell {
    let outcome = &wanted.outcome;
    let text = match outcome {
        Outcome::Joined { cluster, local: Usage::SetUnused, .. } => cluster.sentence().to_owned(),
        Outcome::Joined { cluster: Usage::SetUnused, local, .. } => local.sentence().to_owned(),
        Outcome::NotJoined(why) => format!("no endpoint: {}", why.sentence()),
        Outcome::Joined { .. } => outcome.sentence(),
    };
    let used = |usage: &Usage| *usage == Usage::Used;
    let is_used =
        matches!(outcome, Outcome::Joined { cluster, local, .. } if used(cluster) || used(local));
    let text = match &wanted.unready {
        None => text,
        // The Service publishes what is not ready.
        Some(reason) if is_used => format!("{text} ({reason})"),
        Some(reason) => format!("{text}: {reason}"),
    };
    Cell::state(text, if is_used { Tone::Good } else { Tone::Odd })
}
