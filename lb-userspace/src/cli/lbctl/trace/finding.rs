//! What stages found out about a packet: the words of `STEPS`, with names to the numbers.

use super::entry::Entry;
use super::rehearsal::{Program, Rehearsal, Trail};
use crate::cli::lbctl::resource::conntrack::{FlowView, view};
use crate::cli::lbctl::resource::frontends::{self, ChoiceView};
use crate::cli::lbctl::words::{PortRef, socket};
use crate::compile::proto;
use crate::reconcile::Tables;
use anyhow::Result;
use lb_common::layout::address::AddressValue;
use lb_common::layout::backend::BackendValue;
use lb_common::layout::conntrack::FlowValue;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::layout::step::Step;
use lb_common::wire::Port;
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// A step of a packet, in the words of people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Finding {
    /// What the destination means.
    Address { address: IpAddr, means: Vec<Meaning> },
    /// The flow that it belongs to; null: a new one.
    Flow { known: Option<Box<FlowView>> },
    /// The frontend that it is aimed at.
    Frontend { service: Option<PortRef>, kind: &'static str },
    /// Whether `loadBalancerSourceRanges` let it in.
    SourceRanges { admitted: bool },
    /// Where the client is.
    Client { inside: bool, place: Place },
    /// Whom it may reach.
    Choice(ChoiceView),
    /// The backend that the client is remembered with.
    Affinity { backend: Option<SocketAddr> },
    /// The backend that was chosen.
    Backend { address: Option<SocketAddr>, local: bool },
    /// What becomes of the client's address; null: it is kept.
    Source { replaced: Option<Replaced> },
}

/// What an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    /// A `ClusterIP`.
    ClusterIp,
    /// Another address of a Service.
    Service,
    /// An address that serves node ports.
    NodePorts,
    /// An endpoint.
    Endpoint,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// A pod behind a link of this node.
    PodHere,
    /// Behind an uplink.
    Elsewhere,
    /// A process of this node.
    Process,
}

/// What stands in place of a client's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Replaced {
    /// The address and port.
    pub(super) by: SocketAddr,
    /// Why.
    pub(super) why: Why,
}

/// Why a client's address is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// The client reached itself.
    Hairpin,
    /// The operator asks for it (`--snat always`).
    Always,
    /// The answers would not come back here.
    WayBack,
}

/// What was found out, in the packet's order.
pub(super) fn findings(trail: &Trail, rehearsal: &Rehearsal<'_>) -> Result<Vec<Finding>> {
    let tables = &rehearsal.source.tables;
    let frontend = frontend(trail, tables);
    let mut all = Vec::new();
    for (step, word) in &trail.steps {
        let (low, high) = halves(*word);
        all.extend(match step {
            Step::Address => Some(address(trail, low)),
            Step::Flow => Some(flow(trail, low, rehearsal)?),
            Step::Frontend => Some(Finding::Frontend {
                service: PortRef::of(tables, low),
                kind: frontends::kind(u8::try_from(high).unwrap_or_default()),
            }),
            Step::Guard => Some(Finding::SourceRanges { admitted: low != 0 }),
            Step::Client => Some(client(low, &rehearsal.entry)),
            Step::Choice => frontend.map(|frontend| {
                Finding::Choice(frontends::choice(tables, chosen_from(frontend, (low, high))))
            }),
            Step::Affinity => Some(Finding::Affinity { backend: address_of(tables, low) }),
            Step::Backend => Some(backend(tables, low)),
            Step::Source => Some(source(trail)),
        });
    }
    Ok(completed(all, trail, rehearsal))
}

/// Adds what programs do not note: that a process is the client, and where a known flow leads.
fn completed(mut all: Vec<Finding>, trail: &Trail, rehearsal: &Rehearsal<'_>) -> Vec<Finding> {
    let is_frontend = |finding: &Finding| matches!(finding, Finding::Frontend { .. });
    if let (Entry::Process { .. }, Some(at)) = (&rehearsal.entry, all.iter().position(is_frontend))
    {
        all.insert(at + 1, Finding::Client { inside: true, place: Place::Process });
    }
    let is_known = |finding: &Finding| matches!(finding, Finding::Flow { known: Some(_) });
    if let Some(half) = trail.half.filter(|_| all.iter().any(is_known)) {
        all.push(backend(&rehearsal.source.tables, half.backend));
        if half.flags & FlowValue::REPLY == 0 {
            all.push(source(trail));
        }
    }
    all
}

/// The two halves of a word of `STEPS`.
pub(super) fn halves(word: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
    (half(word), half(word >> 32))
}

fn address(trail: &Trail, bits: u32) -> Finding {
    const OWN: u32 = AddressValue::FRONTEND | AddressValue::CLUSTER_IP;
    let meanings = [
        (bits & OWN == OWN, Meaning::ClusterIp),
        (bits & OWN == AddressValue::FRONTEND, Meaning::Service),
        (bits & AddressValue::NODE_PORTS != 0, Meaning::NodePorts),
        (bits & AddressValue::BACKEND != 0, Meaning::Endpoint),
    ];
    let means = meanings.into_iter().filter(|(is, _)| *is).map(|(_, meaning)| meaning);
    Finding::Address { address: trail.ends.dst.ip(), means: means.collect() }
}

/// A flow of the node; or one that packets before this one have opened in private maps.
fn flow(trail: &Trail, is_known: u32, rehearsal: &Rehearsal<'_>) -> Result<Finding> {
    let source = rehearsal.source;
    let ages = source.ages()?;
    let known = trail.known.filter(|_| is_known != 0);
    let known = known.map(|(key, value)| Box::new(view(&key, &value, &source.tables, ages)));
    Ok(Finding::Flow { known })
}

fn client(bits: u32, entry: &Entry) -> Finding {
    let place = match entry {
        Entry::Process { .. } => Place::Process,
        Entry::Link { .. } if bits & 2 != 0 => Place::PodHere,
        Entry::Link { .. } => Place::Elsewhere,
    };
    Finding::Client { inside: bits & 1 != 0, place }
}

/// The frontend that a packet is aimed at, as the programs look it up.
fn frontend<'a>(trail: &Trail, tables: &'a Tables) -> Option<&'a FrontendValue> {
    let (dst, proto) = (trail.ends.dst, proto(trail.ends.protocol));
    let port = Port::new(dst.port());
    let own = FrontendKey::of(dst.ip().into(), port, proto);
    let node_port = FrontendKey::node_port(port, proto, dst.is_ipv6());
    tables.frontends.get(&own).or_else(|| tables.frontends.get(&node_port))
}

/// The side of a frontend that the programs read.
fn chosen_from(frontend: &FrontendValue, (len, flags): (u32, u32)) -> &Choice {
    let is_inside = (frontend.inside.len, frontend.inside.flags) == (len, flags);
    if is_inside { &frontend.inside } else { &frontend.outside }
}

fn address_of(tables: &Tables, backend: u32) -> Option<SocketAddr> {
    tables.backends.get(&backend).map(|backend| socket(backend.addr, backend.port))
}

fn backend(tables: &Tables, id: u32) -> Finding {
    let local = |backend: &BackendValue| backend.flags & BackendValue::LOCAL != 0;
    Finding::Backend {
        address: address_of(tables, id),
        local: tables.backends.get(&id).is_some_and(local),
    }
}

fn source(trail: &Trail) -> Finding {
    let replaced = |half: &FlowValue| half.flags & FlowValue::SNAT != 0;
    let half = trail.half.filter(replaced);
    Finding::Source { replaced: half.map(|half| replacement(&half, trail)) }
}

fn replacement(half: &FlowValue, trail: &Trail) -> Replaced {
    let choice = trail.steps.get(&Step::Choice).map_or(0, |word| halves(*word).1);
    let why = if half.flags & FlowValue::HAIRPIN != 0 {
        Why::Hairpin
    } else if choice & Choice::SNAT != 0 {
        Why::Always
    } else {
        Why::WayBack
    };
    Replaced { by: socket(half.src, half.sport), why }
}

impl Program {
    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        use crate::bpf::private::Hook;
        match self {
            Self::Frame(Hook::Xdp) => "XDP",
            Self::Frame(Hook::TcIngress) => "TC ingress",
            Self::Frame(Hook::TcEgress) => "TC egress",
            Self::Connect => "connect",
        }
    }
}
