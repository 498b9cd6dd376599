//! What became of a packet, in one sentence.

use super::Packet;
use super::entry::Entry;
use super::finding::halves;
use super::rehearsal::{Fate, Rehearsal, Told, Trail};
use crate::cli::lbctl::resource::links;
use crate::link::route::Way;
use crate::model::Protocol;
use lb_common::layout::address::AddressValue;
use lb_common::layout::step::Step;
use lb_common::verdict::Reason;
use serde::Serialize;
use std::net::SocketAddr;

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    /// In a word.
    pub(super) verdict: Verdict,
    /// In a sentence.
    pub(super) sentence: String,
    /// The reason that was counted.
    pub(super) reason: Option<&'static str>,
    /// The program that decided: `XDP`, `TC ingress`, `TC egress`, `connect`; null: none did.
    pub(super) program: Option<&'static str>,
    /// The packet as it goes on; null: it does not.
    pub(super) packet: Option<Packet>,
    /// Where it goes on.
    pub(super) leaves: Option<Leaves>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It has another destination now, or another source.
    Translated,
    /// It goes on as it came.
    Passed,
    /// Its sender is told that it cannot go on.
    Refused,
    /// It is discarded.
    Dropped,
}

/// Where a packet goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Leaves {
    /// Through the host's stack, which sends it out by this link; null: it has no route.
    Stack(Option<String>),
    /// Through the host's stack, to this node itself.
    ToThisNode,
    /// Out by this link, past the host's stack.
    Link(String),
    /// From the socket.
    Socket,
}

impl Outcome {
    /// What the trail of a packet ended with.
    pub(super) fn of(trail: &Trail, rehearsal: &Rehearsal<'_>) -> Self {
        let (verdict, packet, leaves) = match &trail.fate {
            Fate::Untouched => (Verdict::Passed, Some(trail.ends), None),
            Fate::Ended(_) if trail.reason.is_some_and(Reason::is_answered) => {
                (Verdict::Refused, None, None)
            }
            Fate::Ended(_) => (Verdict::Dropped, None, None),
            Fate::Stack(now, way) => (Verdict::Translated, Some(*now), Some(stack(*way))),
            Fate::Leaves(now, link) => {
                let link = Leaves::Link(link_name(rehearsal, *link));
                (Verdict::Translated, Some(*now), Some(link))
            }
            Fate::Call(now) => (Verdict::Translated, Some(*now), Some(Leaves::Socket)),
        };
        Self {
            verdict,
            sentence: sentence(trail, &rehearsal.entry),
            reason: trail.reason.map(Reason::name),
            program: trail.program.map(super::rehearsal::Program::name),
            packet: packet.map(Packet::from),
            leaves,
        }
    }

    /// What outcomes that are counted together have in common.
    pub(super) fn kind(&self) -> (Verdict, Option<SocketAddr>, String) {
        (self.verdict, self.packet.map(|packet| packet.to), self.sentence.clone())
    }
}

/// The name of a link as the agent noted it.
fn link_name(rehearsal: &Rehearsal<'_>, index: u32) -> String {
    let noted = rehearsal.source.tables.links.get(&index).and_then(links::name);
    noted.unwrap_or_else(|| index.to_string())
}

fn stack(way: Way) -> Leaves {
    match way {
        Way::Own => Leaves::ToThisNode,
        Way::None => Leaves::Stack(None),
        Way::Link(index) => {
            let name = nix::net::if_::if_indextoname(index);
            let name = name.map(|name| name.to_string_lossy().into_owned());
            Leaves::Stack(Some(name.unwrap_or_else(|_| index.to_string())))
        }
    }
}

fn sentence(trail: &Trail, entry: &Entry) -> String {
    match (&trail.fate, trail.reason) {
        (Fate::Ended(told), reason) => {
            let why = reason.map_or("dropped", Reason::sentence);
            format!("{why}{}", heard(*told))
        }
        (Fate::Untouched, Some(reason)) => reason.sentence().to_owned(),
        (Fate::Untouched, None) => format!("passes: {}", why_untouched(trail, entry)),
        (Fate::Stack(..) | Fate::Leaves(..) | Fate::Call(_), _) => "translated".to_owned(),
    }
}

/// What the sender of a packet that ended hears.
fn heard(told: Told) -> String {
    match told {
        Told::Nothing => String::new(),
        Told::Reset => " (a TCP reset)".to_owned(),
        Told::Unreachable => " (ICMP: port unreachable)".to_owned(),
        Told::Error(error) => format!(" (connect fails with {error})"),
    }
}

fn why_untouched(trail: &Trail, entry: &Entry) -> String {
    let meaning = trail.steps.get(&Step::Address).map_or(0, |word| halves(*word).0);
    let means = |bits| AddressValue(meaning).has(bits);
    let flow = trail.steps.get(&Step::Flow).copied().unwrap_or_default() & !Step::TAKEN;
    match entry {
        _ if flow == Step::FOREIGN => "another proxy translates this flow until it ends".to_owned(),
        Entry::Process { served: false } if trail.ends.protocol != Protocol::Sctp => {
            "the programs for processes of this node are not attached (--socket-lb off)".to_owned()
        }
        Entry::Process { .. } if trail.steps.is_empty() => {
            "it leaves by no link that is served".to_owned()
        }
        Entry::Link { link, .. } if !link.tc => {
            format!("no program is attached to link {}", link.name)
        }
        _ if means(AddressValue::FRONTEND) => "no Service has this port at the address".to_owned(),
        _ if means(AddressValue::NODE_PORTS) => "no Service has this node port".to_owned(),
        _ if means(AddressValue::BACKEND) => {
            "it is aimed at an endpoint itself, not at a Service".to_owned()
        }
        Entry::Link { .. } | Entry::Process { .. } => "nothing here means this address".to_owned(),
    }
}
