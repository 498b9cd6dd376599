//! `get endpoints`: who may be chosen for a service port, and where that holds.

use super::backends::sets;
use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::source::Counters;
use crate::cli::lbctl::words::{EndpointState, PortRef, TrafficView, joined, socket, yes_no};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use serde::Serialize;
use std::net::SocketAddr;

/// An endpoint of a service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EndpointView {
    /// The service port that it serves.
    pub(crate) service: PortRef,
    /// The protocol.
    pub(crate) protocol: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What its conditions say.
    pub(crate) state: EndpointState,
    /// It runs on this node.
    pub(crate) local: bool,
    /// New connections choose it: `cluster` where no `Local` policy applies, `local` where one does;
    /// `node`: it is the agent's own name server, which clients of this node get first.
    pub(crate) used_for: Vec<&'static str>,
    /// Its id in `BACKENDS`.
    pub(crate) backend_id: u32,
    /// What went through it.
    pub(crate) traffic: TrafficView,
}

/// All endpoints, by service port and address.
pub(crate) fn endpoints(tables: &Tables, counters: &Counters) -> Vec<EndpointView> {
    let view = |(id, backend): (&u32, &BackendValue)| {
        Some(EndpointView {
            service: PortRef::of(tables, backend.service)?,
            protocol: backend.proto.to_string(),
            address: socket(backend.addr, backend.port),
            state: EndpointState::of(backend),
            local: backend.flags & BackendValue::LOCAL != 0,
            used_for: sets(backend),
            backend_id: *id,
            traffic: counters.backend(*id).into(),
        })
    };
    let mut views: Vec<_> = tables.backends.iter().filter_map(view).collect();
    views.sort_by(|a, b| (&a.service, a.address).cmp(&(&b.service, b.address)));
    views
}

/// What a state means to whoever waits for an answer.
fn tone(state: EndpointState) -> Tone {
    match state {
        EndpointState::Ready => Tone::Good,
        EndpointState::ServingTerminating | EndpointState::Terminating => Tone::Odd,
        EndpointState::NotReady => Tone::Bad,
    }
}

impl Row for EndpointView {
    const COLUMNS: &'static [Column] = &[
        Column::new("NAMESPACE"),
        Column::new("SERVICE"),
        Column::new("PORT"),
        Column::new("ENDPOINT"),
        Column::new("STATE"),
        Column::new("LOCAL"),
        Column::new("USED-FOR"),
        Column::wide("PACKETS"),
        Column::wide("BYTES"),
        Column::wide("CONNS"),
        Column::wide("BACKEND"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(&self.service.namespace),
            Cell::new(&self.service.name),
            Cell::new(format!("{}/{}", self.service.port(), self.protocol)),
            Cell::new(self.address),
            Cell::state(self.state.name(), tone(self.state)),
            Cell::new(yes_no(self.local)),
            Cell::new(joined(&self.used_for)),
            Cell::new(self.traffic.packets),
            Cell::new(self.traffic.bytes),
            Cell::new(self.traffic.connections),
            Cell::new(self.backend_id),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(Some(&self.service))
    }
}
