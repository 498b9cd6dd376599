//! `get sockets`: sockets of this node's processes whose peer was replaced.
//!
//! A connected socket has one entry, for the way back: it puts the frontend's name in place of
//! the backend's. A UDP socket that sends with an address has two.

use crate::cli::lbctl::output::{Cell, Column, Row};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::words::{PortRef, service_name, socket, yes_no};
use crate::reconcile::Tables;
use lb_common::flow::Edge;
use lb_common::layout::socket::{SocketKey, SocketValue};
use serde::Serialize;
use std::net::SocketAddr;

/// What a socket believes its peer to be, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SocketView {
    /// The kernel's name of the socket.
    pub(crate) cookie: u64,
    /// The protocol.
    pub(crate) protocol: String,
    /// When the entry is used: `send` or `receive`.
    pub(crate) direction: &'static str,
    /// The peer in the eyes of the process.
    pub(crate) frontend: SocketAddr,
    /// The peer on the wire.
    pub(crate) backend: SocketAddr,
    /// The service port, told by the backend; null: not there any more.
    pub(crate) service: Option<PortRef>,
    /// The backend's id.
    pub(crate) backend_id: u32,
    /// The backend is gone or does not serve.
    pub(crate) stale: bool,
}

/// All entries, by socket.
pub(crate) fn sockets(entries: &[(SocketKey, SocketValue)], tables: &Tables) -> Vec<SocketView> {
    let mut views: Vec<_> = entries.iter().map(|(key, value)| view(key, value, tables)).collect();
    views.sort_by_key(|view| (view.cookie, view.frontend, view.backend, view.direction));
    // The kernel begins anew when the key it stands at is evicted: some entries come twice.
    views.dedup();
    views
}

fn view(key: &SocketKey, value: &SocketValue, tables: &Tables) -> SocketView {
    let is_send = key.edge == Edge::EGRESS;
    let (asked, stands_for) = (socket(key.addr, key.port), socket(value.addr, value.port));
    let (frontend, backend) = if is_send { (asked, stands_for) } else { (stands_for, asked) };
    // The cell may have another owner by now; then the entry is void and the owner's name is wrong.
    let owner =
        tables.backends.get(&value.backend).filter(|cell| cell.generation == value.generation);
    SocketView {
        cookie: key.cookie,
        protocol: key.proto.to_string(),
        direction: if is_send { "send" } else { "receive" },
        frontend,
        backend,
        service: owner.and_then(|cell| PortRef::of(tables, cell.service)),
        backend_id: value.backend,
        stale: owner.is_none(),
    }
}

impl Row for SocketView {
    const COLUMNS: &'static [Column] = &[
        Column::new("COOKIE"),
        Column::new("PROTO"),
        Column::new("FRONTEND"),
        Column::new("BACKEND"),
        Column::new("SERVICE"),
        Column::new("STALE"),
        Column::wide("USED-TO"),
        Column::wide("ID"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(self.cookie),
            Cell::new(&self.protocol),
            Cell::new(self.frontend),
            Cell::new(self.backend),
            Cell::new(service_name(self.service.as_ref())),
            Cell::new(yes_no(self.stale)),
            Cell::new(self.direction),
            Cell::new(self.backend_id),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(self.service.as_ref())
    }
}
