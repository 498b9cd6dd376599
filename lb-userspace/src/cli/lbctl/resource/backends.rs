//! `get backends`: the cells of `BACKENDS` that are in use.

use crate::cli::lbctl::output::{Cell, Column, Row};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::source::Counters;
use crate::cli::lbctl::words::{PortRef, TrafficView, joined, port_name, socket};
use crate::reconcile::Tables;
use lb_common::layout::backend::BackendValue;
use serde::Serialize;
use std::net::SocketAddr;

/// A cell of `BACKENDS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct BackendView {
    /// Its index: what slots, flows and affinities name.
    pub(crate) id: u32,
    /// Where the backend listens.
    pub(crate) address: SocketAddr,
    /// The protocol.
    pub(crate) protocol: String,
    /// The id of the service port.
    pub(crate) service_id: u32,
    /// Its name; null: not in `SERVICES`.
    pub(crate) service: Option<PortRef>,
    /// What is known of it: `ready`, `serving`, `terminating`, `local`, `cluster-set`, `local-set`,
    /// `agent`.
    pub(crate) flags: Vec<&'static str>,
    /// How often the cell changed its owner.
    pub(crate) generation: u32,
    /// What went through it.
    pub(crate) traffic: TrafficView,
}

const CONDITIONS: [(u8, &str); 7] = [
    (BackendValue::READY, "ready"),
    (BackendValue::SERVING, "serving"),
    (BackendValue::TERMINATING, "terminating"),
    (BackendValue::LOCAL, "local"),
    (BackendValue::IN_CLUSTER_SET, "cluster-set"),
    (BackendValue::IN_LOCAL_SET, "local-set"),
    (BackendValue::AGENT, "agent"),
];

const SETS: [(u8, &str); 3] = [
    (BackendValue::IN_CLUSTER_SET, "cluster"),
    (BackendValue::IN_LOCAL_SET, "local"),
    (BackendValue::AGENT, NODE),
];

/// For whom the agent's own name server is: clients of this node.
pub(crate) const NODE: &str = "node";

/// All cells in use, by id.
pub(crate) fn backends(tables: &Tables, counters: &Counters) -> Vec<BackendView> {
    let used = tables.backends.iter().filter(|(_, backend)| backend.service != 0);
    let view = |(id, backend): (&u32, &BackendValue)| BackendView {
        id: *id,
        address: socket(backend.addr, backend.port),
        protocol: backend.proto.to_string(),
        service_id: backend.service,
        service: PortRef::of(tables, backend.service),
        flags: words(backend.flags, &CONDITIONS),
        generation: backend.generation,
        traffic: counters.backend(*id).into(),
    };
    used.map(view).collect()
}

/// The sets of which new connections choose this backend.
pub(crate) fn sets(backend: &BackendValue) -> Vec<&'static str> {
    words(backend.flags, &SETS)
}

fn words(flags: u8, names: &[(u8, &'static str)]) -> Vec<&'static str> {
    names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, word)| *word).collect()
}

impl Row for BackendView {
    const COLUMNS: &'static [Column] = &[
        Column::new("ID"),
        Column::new("ADDRESS"),
        Column::new("PROTO"),
        Column::new("SERVICE"),
        Column::new("FLAGS"),
        Column::new("GENERATION"),
        Column::new("PACKETS"),
        Column::new("BYTES"),
        Column::new("CONNS"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(self.id),
            Cell::new(self.address),
            Cell::new(&self.protocol),
            Cell::new(port_name(self.service.as_ref())),
            Cell::new(joined(&self.flags)),
            Cell::new(self.generation),
            Cell::new(self.traffic.packets),
            Cell::new(self.traffic.bytes),
            Cell::new(self.traffic.connections),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(self.service.as_ref())
    }
}
