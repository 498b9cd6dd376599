//! `get affinity`: clients of Services with `sessionAffinity: ClientIP`, and whom they had last.

use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::source::Ages;
use crate::cli::lbctl::words::{GONE, PortRef, port_name, socket, some_ip, some_span, span};
use crate::reconcile::Tables;
use lb_common::layout::affinity::{AffinityKey, AffinityValue};
use lb_common::layout::frontend::FrontendValue;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A client that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AffinityView {
    /// Its address; null: processes of the node itself.
    pub(crate) client: Option<IpAddr>,
    /// The service port; null: not there any more.
    pub(crate) service: Option<PortRef>,
    /// Whom it had last; null: that backend is gone, the next connection chooses anew.
    pub(crate) backend: Option<SocketAddr>,
    /// That backend's id.
    pub(crate) backend_id: u32,
    /// Seconds since its last connection; null: the clock was never set.
    pub(crate) idle_s: Option<u64>,
    /// Seconds of silence after which it is forgotten; null: no frontend remembers clients any more.
    pub(crate) timeout_s: Option<u32>,
    /// Seconds left of it; 0: expired.
    pub(crate) left_s: Option<u64>,
}

/// All clients, by Service.
pub(crate) fn affinities(
    entries: &[(AffinityKey, AffinityValue)],
    tables: &Tables,
    ages: Ages,
) -> Vec<AffinityView> {
    let remembering = tables.frontends.values().filter(|frontend| frontend.affinity != 0);
    let frontends: BTreeMap<u32, &FrontendValue> =
        remembering.map(|frontend| (frontend.affinity, frontend)).collect();
    let view = |(key, value): &(AffinityKey, AffinityValue)| {
        let frontend = frontends.get(&key.affinity);
        let idle_s = ages.of(value.seen);
        let timeout_s = frontend.map(|frontend| frontend.affinity_timeout_s);
        let left = |(timeout_s, idle_s): (u32, u64)| u64::from(timeout_s).saturating_sub(idle_s);
        AffinityView {
            client: some_ip(key.client),
            service: frontend.and_then(|frontend| PortRef::of(tables, frontend.service)),
            backend: living(value, tables),
            backend_id: value.backend,
            idle_s,
            timeout_s,
            left_s: timeout_s.zip(idle_s).map(left),
        }
    };
    let mut views: Vec<_> = entries.iter().map(view).collect();
    views.sort_by(|a, b| (&a.service, a.client).cmp(&(&b.service, b.client)));
    // The kernel begins anew when the key it stands at is evicted: some entries come twice.
    views.dedup();
    views
}

fn living(value: &AffinityValue, tables: &Tables) -> Option<SocketAddr> {
    let cell =
        tables.backends.get(&value.backend).filter(|cell| cell.generation == value.generation)?;
    Some(socket(cell.addr, cell.port))
}

impl AffinityView {
    fn left(&self) -> Cell {
        match self.left_s {
            Some(0) => Cell::state("expired", Tone::Odd),
            left_s => Cell::new(some_span(left_s)),
        }
    }
}

impl Row for AffinityView {
    const COLUMNS: &'static [Column] = &[
        Column::new("CLIENT"),
        Column::new("SERVICE"),
        Column::new("BACKEND"),
        Column::new("IDLE"),
        Column::new("TIMEOUT"),
        Column::new("LEFT"),
        Column::wide("ID"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let client = self.client.map_or_else(|| "(this node)".to_owned(), |ip| ip.to_string());
        let backend = self.backend.map_or_else(|| GONE.to_owned(), |addr| addr.to_string());
        vec![
            Cell::new(client),
            Cell::new(port_name(self.service.as_ref())),
            Cell::new(backend),
            Cell::new(some_span(self.idle_s)),
            Cell::new(
                self.timeout_s.map_or_else(|| "?".to_owned(), |timeout_s| span(timeout_s.into())),
            ),
            self.left(),
            Cell::new(self.backend_id),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(self.service.as_ref())
    }
}
