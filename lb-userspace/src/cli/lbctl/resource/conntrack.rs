//! `get conntrack`: flows, as client -> frontend -> backend.
//!
//! A flow has two halves in the map. The forward half tells all of it and is what tables show;
//! the reply half is listed with `-o wide` and for programs, turned round so that the same words
//! mean the same ends.

use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::{Peer, Selector};
use crate::cli::lbctl::source::Ages;
use crate::cli::lbctl::words::{PortRef, service_name, socket, some_span, yes_no};
use crate::reconcile::Tables;
use lb_common::flow::{Edge, FlowKey};
use lb_common::layout::conntrack::FlowValue;
use serde::Serialize;
use std::net::SocketAddr;

/// One half of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FlowView {
    /// Whose packets this half translates.
    pub(crate) half: Half,
    /// The protocol.
    pub(crate) protocol: String,
    /// Who asked.
    pub(crate) client: SocketAddr,
    /// The address that it asked.
    pub(crate) frontend: SocketAddr,
    /// Who answers; null: only another proxy knows.
    pub(crate) backend: Option<SocketAddr>,
    /// What the backend sees in place of the client, if it does not see the client.
    pub(crate) snat: Option<SocketAddr>,
    /// The backend is the client itself.
    pub(crate) hairpin: bool,
    /// Another proxy translates it, until it ends.
    pub(crate) foreign: bool,
    /// `OPENING`, `ESTABLISHED`, `CLOSING`, `CLOSED` or `RESET`.
    pub(crate) state: &'static str,
    /// Seconds since the last packet, exact to a second; null: the clock was never set.
    pub(crate) idle_s: Option<u64>,
    /// The id of the service port.
    pub(crate) service_id: u32,
    /// Its name; null: not there any more.
    pub(crate) service: Option<PortRef>,
    /// The backend's id.
    pub(crate) backend_id: u32,
    /// The backend is gone or does not serve: UDP and new connections get another one.
    pub(crate) stale: bool,
    /// Where packets of this half are translated: `ingress` or `egress`.
    pub(crate) edge: &'static str,
    /// Index of the link by which they leave; 0: the host forwards them.
    pub(crate) link: u32,
}

/// Whose packets a half translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Half {
    /// The client's.
    Forward,
    /// The backend's.
    Reply,
}

/// All halves of flows, by client.
pub(crate) fn flows(
    entries: &[(FlowKey, FlowValue)],
    tables: &Tables,
    ages: Ages,
) -> Vec<FlowView> {
    let mut views: Vec<_> =
        entries.iter().map(|(key, value)| view(key, value, tables, ages)).collect();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    // The kernel begins anew when the key it stands at is evicted: some entries come twice.
    views.dedup();
    views
}

/// One half.
pub(crate) fn view(key: &FlowKey, value: &FlowValue, tables: &Tables, ages: Ages) -> FlowView {
    let is = |bit| value.flags & bit != 0;
    let ends = Ends::of(key, value);
    let current = tables.backends.get(&value.backend).map(|backend| backend.generation);
    FlowView {
        half: ends.half,
        protocol: key.proto.to_string(),
        client: ends.client,
        frontend: ends.frontend,
        backend: (!value.is_foreign() || is(FlowValue::SNAT)).then_some(ends.backend),
        snat: is(FlowValue::SNAT).then_some(ends.source),
        hairpin: is(FlowValue::HAIRPIN),
        foreign: value.is_foreign(),
        state: value.progress.name(),
        idle_s: ages.of(value.seen),
        service_id: value.service,
        service: PortRef::of(tables, value.service),
        backend_id: value.backend,
        stale: !value.is_foreign() && current != Some(value.generation),
        edge: if key.edge == Edge::EGRESS { "egress" } else { "ingress" },
        link: value.link,
    }
}

/// Who is who in a half.
struct Ends {
    half: Half,
    client: SocketAddr,
    frontend: SocketAddr,
    backend: SocketAddr,
    /// The client in the eyes of the backend.
    source: SocketAddr,
}

impl Ends {
    fn of(key: &FlowKey, value: &FlowValue) -> Self {
        let seen = (socket(key.src, key.sport), socket(key.dst, key.dport));
        let translated = (socket(value.src, value.sport), socket(value.dst, value.dport));
        if value.flags & FlowValue::REPLY == 0 {
            let ((client, frontend), (source, backend)) = (seen, translated);
            Self { half: Half::Forward, client, frontend, backend, source }
        } else {
            let ((backend, source), (frontend, client)) = (seen, translated);
            Self { half: Half::Reply, client, frontend, backend, source }
        }
    }
}

/// Which flows a person asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) service: Selector,
    pub(crate) client: Option<Peer>,
    pub(crate) backend: Option<Peer>,
}

impl Filter {
    pub(crate) fn takes(&self, flow: &FlowView) -> bool {
        let end = |peer: Option<Peer>, addr| peer.is_none_or(|peer| peer.takes(addr));
        flow.is_selected(&self.service)
            && end(self.client, flow.client)
            && flow.backend.map_or(self.backend.is_none(), |addr| end(self.backend, addr))
    }
}

impl FlowView {
    fn rank(&self) -> impl Ord {
        (self.client, self.frontend, self.protocol.clone(), self.half)
    }

    /// The flow in three parts, in the direction of this half.
    fn arrow(&self) -> String {
        let Self { protocol, client, frontend, .. } = self;
        let backend = self.backend.map_or("another proxy".to_owned(), |addr| addr.to_string());
        match self.half {
            Half::Forward => format!("{protocol} {client} -> {frontend} -> {backend}"),
            Half::Reply => format!("{protocol} {backend} -> {frontend} -> {client}"),
        }
    }

    /// The service, and what is special about the translation.
    fn notes(&self) -> String {
        let snat = self.snat.map(|snat| format!(" [snat {snat}]")).unwrap_or_default();
        let hairpin = if self.hairpin { " [hairpin]" } else { "" };
        let foreign = if self.foreign { " [foreign]" } else { "" };
        format!("{}{snat}{hairpin}{foreign}", service_name(self.service.as_ref()))
    }

    fn state(&self) -> Cell {
        let tone = match self.state {
            "ESTABLISHED" => Tone::Good,
            "RESET" => Tone::Bad,
            _ => Tone::Odd,
        };
        Cell::state(self.state, tone)
    }
}

impl Row for FlowView {
    const COLUMNS: &'static [Column] = &[
        Column::new("FLOW"),
        Column::new("STATE"),
        Column::new("IDLE"),
        Column::new("SERVICE"),
        Column::wide("HALF"),
        Column::wide("EDGE"),
        Column::wide("LINK"),
        Column::wide("BACKEND"),
        Column::wide("STALE"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(self.arrow()),
            self.state(),
            // With the word, so that a line says the same where it is pasted without its head.
            Cell::new(format!("idle {}", some_span(self.idle_s))),
            Cell::new(self.notes()),
            Cell::new(if self.half == Half::Forward { "forward" } else { "reply" }),
            Cell::new(self.edge),
            Cell::new(self.link),
            Cell::new(self.backend_id),
            Cell::new(yes_no(self.stale)),
        ]
    }

    fn is_detail(&self) -> bool {
        self.half == Half::Reply
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(self.service.as_ref())
    }
}
