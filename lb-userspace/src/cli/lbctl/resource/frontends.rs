//! `get frontends`: which addresses and ports mean a service port, and where each class of
//! clients is led.

use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::words::{NONE, PortRef, family_name, port_name, socket};
use crate::reconcile::Tables;
use lb_common::layout::frontend::{Choice, FrontendKey, FrontendValue};
use lb_common::wire::Port;
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// An address and port that mean a service port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FrontendView {
    /// The virtual address; null: the addresses of the node (a node port).
    pub(crate) address: Option<IpAddr>,
    /// `IPv4` or `IPv6`.
    pub(crate) family: &'static str,
    /// The port.
    pub(crate) port: u16,
    /// The protocol.
    pub(crate) protocol: String,
    /// `ClusterIP`, `NodePort`, `ExternalIP` or `LoadBalancer`.
    pub(crate) kind: &'static str,
    /// The id of the service port.
    pub(crate) service_id: u32,
    /// Its name; null: not in `SERVICES`.
    pub(crate) service: Option<PortRef>,
    /// For pods of the cluster and the node itself.
    pub(crate) inside: ChoiceView,
    /// For everybody else.
    pub(crate) outside: ChoiceView,
    /// Seconds for which a silent client is remembered; null: no session affinity.
    pub(crate) affinity_timeout_s: Option<u32>,
}

/// Where one class of clients is led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ChoiceView {
    /// What happens to a new connection.
    pub(crate) verdict: Verdict,
    /// How many different endpoints it may get.
    pub(crate) endpoints: usize,
    /// How many slots they fill; more than endpoints: a Maglev table.
    pub(crate) slots: u32,
    /// The client's address is replaced in any case.
    pub(crate) snat: bool,
    /// Endpoints of this node only.
    pub(crate) local: bool,
    /// The agent's own name server, which gets all of them while it is there; null: it has no part.
    pub(crate) name_server: Option<SocketAddr>,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// It goes to an endpoint.
    Forward,
    /// It is refused.
    Reject,
    /// It is discarded silently.
    Drop,
}

/// All frontends, by address and port.
pub(crate) fn frontends(tables: &Tables) -> Vec<FrontendView> {
    let view = |(key, value): (&FrontendKey, &FrontendValue)| {
        let address = (key.family == 0).then(|| key.addr.to_ip());
        let family = address.map_or(key.family, |ip| if ip.is_ipv6() { 6 } else { 4 });
        FrontendView {
            address,
            family: family_name(family),
            port: key.port.number(),
            protocol: key.proto.to_string(),
            kind: kind(value.kind),
            service_id: value.service,
            service: PortRef::of(tables, value.service),
            inside: choice(tables, &value.inside),
            outside: choice(tables, &value.outside),
            affinity_timeout_s: (value.affinity != 0).then_some(value.affinity_timeout_s),
        }
    };
    let mut views: Vec<_> = tables.frontends.iter().map(view).collect();
    views.sort_by(|a, b| a.rank().cmp(&b.rank()));
    views
}

/// The name of a kind of address.
pub(crate) fn kind(kind: u8) -> &'static str {
    match kind {
        FrontendValue::CLUSTER_IP => "ClusterIP",
        FrontendValue::NODE_PORT => "NodePort",
        FrontendValue::EXTERNAL_IP => "ExternalIP",
        FrontendValue::LOAD_BALANCER => "LoadBalancer",
        _ => "<unknown>",
    }
}

/// A set of backends to choose from.
pub(crate) fn choice(tables: &Tables, choice: &Choice) -> ChoiceView {
    let is = |bit| choice.flags & bit != 0;
    let range = tables.slots.get(&choice.base).map(Vec::as_slice).unwrap_or_default();
    let (own, len) = (choice.has_agent(), choice.len as usize);
    let name_server = range.get(len).filter(|_| own).and_then(|id| tables.backends.get(id));
    let backends: BTreeSet<&u32> = range.iter().take(len).collect();
    let verdict = match choice.len {
        0 if is(Choice::DROP) => Verdict::Drop,
        0 => Verdict::Reject,
        _ => Verdict::Forward,
    };
    ChoiceView {
        verdict,
        endpoints: backends.len(),
        slots: choice.len,
        snat: is(Choice::SNAT),
        local: is(Choice::LOCAL),
        name_server: name_server.map(|own| socket(own.addr, own.port)),
    }
}

impl FrontendView {
    /// By Service, then as a person would look for it.
    fn rank(&self) -> impl Ord {
        (
            self.service.clone(),
            self.port,
            self.kind,
            self.family,
            self.address,
            self.protocol.clone(),
        )
    }

    /// `10.96.0.10:80/TCP`; `*:30123/TCP (IPv4)` for a node port.
    fn shown(&self) -> String {
        let Self { port, protocol, family, .. } = self;
        match self.address {
            Some(address) => format!("{}/{protocol}", socket(address.into(), Port::new(*port))),
            None => format!("*:{port}/{protocol} ({family})"),
        }
    }
}

impl ChoiceView {
    fn cell(&self) -> Cell {
        let (what, tone) = match (self.verdict, self.endpoints) {
            (Verdict::Reject, _) => ("reject".to_owned(), Tone::Bad),
            (Verdict::Drop, _) => ("drop".to_owned(), Tone::Bad),
            (Verdict::Forward, 1) => ("1 endpoint".to_owned(), Tone::Plain),
            (Verdict::Forward, count) => (format!("{count} endpoints"), Tone::Plain),
        };
        let local = if self.local { ", local" } else { "" };
        let snat = if self.snat { ", snat" } else { "" };
        let first = if self.name_server.is_some() { "agent, else " } else { "" };
        Cell::state(format!("{first}{what}{local}{snat}"), tone)
    }
}

impl Row for FrontendView {
    const COLUMNS: &'static [Column] = &[
        Column::new("FRONTEND"),
        Column::new("KIND"),
        Column::new("SERVICE"),
        Column::new("INSIDE"),
        Column::new("OUTSIDE"),
        Column::new("AFFINITY"),
        Column::wide("SLOTS"),
        Column::wide("ID"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let affinity = self.affinity_timeout_s.map(|timeout_s| format!("ClientIP ({timeout_s}s)"));
        vec![
            Cell::new(self.shown()),
            Cell::new(self.kind),
            Cell::new(port_name(self.service.as_ref())),
            self.inside.cell(),
            self.outside.cell(),
            Cell::new(affinity.as_deref().unwrap_or(NONE)),
            Cell::new(format!("{}/{}", self.inside.slots, self.outside.slots)),
            Cell::new(self.service_id),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_port(self.service.as_ref())
    }
}
