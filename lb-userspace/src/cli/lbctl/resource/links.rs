//! `get links`: where the programs run, and why not where they do not.

use crate::cli::lbctl::output::{Cell, Column, Row, Tone};
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::words::{GONE, NONE, joined, some_ip};
use crate::model::status::LinkStatus;
use lb_common::layout::node::{LinkValue, XdpState};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What is behind a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LinkKind {
    /// Other hosts.
    Uplink,
    /// Pods of this node.
    Pod,
    /// Nothing that is served.
    None,
}

/// A network link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LinkView {
    /// Its index; 0 stands for the node, whose addresses stand in for links without one.
    pub(crate) index: u32,
    /// Its name; null: unknown.
    pub(crate) name: Option<String>,
    /// What is behind it.
    pub(crate) kind: LinkKind,
    /// What the agent says about it; may be empty.
    pub(crate) remark: String,
    /// How the TC programs are attached: `tcx`, `clsact`; null: not.
    pub(crate) tc: Option<&'static str>,
    /// How XDP is attached: `driver`, `generic`; null: not.
    pub(crate) xdp: Option<&'static str>,
    /// Why XDP is not attached; null: it is.
    pub(crate) xdp_reason: Option<String>,
    /// What stands for clients in IPv4 packets that leave by it.
    pub(crate) masquerade_v4: Option<IpAddr>,
    /// The same for IPv6.
    pub(crate) masquerade_v6: Option<IpAddr>,
}

/// All links by index: those in the map, and those that only the agent speaks of.
pub(crate) fn links(values: &BTreeMap<u32, LinkValue>, decided: &[LinkStatus]) -> Vec<LinkView> {
    let decided: BTreeMap<u32, &LinkStatus> =
        decided.iter().map(|link| (link.index, link)).collect();
    let indexes: BTreeSet<u32> = values.keys().chain(decided.keys()).copied().collect();
    let view = |index| {
        let status = decided.get(&index).copied();
        let mut view =
            values.get(&index).map_or_else(|| unserved(index), |value| served(index, value));
        if index == 0 {
            view.name = Some("(node)".to_owned());
        } else if view.name.is_none() {
            view.name = status.map(|link| link.name.clone());
        }
        view.remark = status.map(|link| link.reason.clone()).unwrap_or_default();
        view
    };
    indexes.into_iter().map(view).collect()
}

fn served(index: u32, value: &LinkValue) -> LinkView {
    let kind = match value.kind {
        LinkValue::POD => LinkKind::Pod,
        LinkValue::UPLINK => LinkKind::Uplink,
        _ => LinkKind::None,
    };
    let (xdp, xdp_reason) = xdp(value.xdp);
    LinkView {
        name: name(value),
        kind,
        tc: match value.tc {
            LinkValue::TCX => Some("tcx"),
            LinkValue::CLSACT => Some("clsact"),
            _ => None,
        },
        xdp,
        xdp_reason,
        masquerade_v4: some_ip(value.masquerade_v4),
        masquerade_v6: some_ip(value.masquerade_v6),
        ..unserved(index)
    }
}

/// The name that the agent noted: indexes mean something in the agent's network namespace only.
pub(crate) fn name(value: &LinkValue) -> Option<String> {
    let bytes = value.name.split(|byte| *byte == 0).next().unwrap_or_default();
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// A link that is not in the map.
fn unserved(index: u32) -> LinkView {
    LinkView {
        index,
        name: None,
        kind: LinkKind::None,
        remark: String::new(),
        tc: None,
        xdp: None,
        xdp_reason: None,
        masquerade_v4: None,
        masquerade_v6: None,
    }
}

/// How XDP is attached, or why not.
fn xdp(state: XdpState) -> (Option<&'static str>, Option<String>) {
    let off = |reason: &str| (None, Some(reason.to_owned()));
    match state {
        XdpState::DRIVER => (Some("driver"), None),
        XdpState::GENERIC => (Some("generic"), None),
        XdpState::NOT_AN_UPLINK => off("XDP is for uplinks only"),
        XdpState::OFF => off("XDP is turned off in the agent's configuration"),
        XdpState::VETH_CHECKSUMS => off(
            "the veth peer leaves checksums to the device, XDP would send them on unfinished (ethtool -K PEER tx off)",
        ),
        XdpState::REFUSED => off("the driver refused the XDP program"),
        XdpState(code) => {
            (None, Some(format!("XDP is off for reason {code}, which this lbctl does not know")))
        }
    }
}

impl LinkView {
    fn kind_name(&self) -> &'static str {
        match self.kind {
            LinkKind::Uplink => "uplink",
            LinkKind::Pod => "pod",
            LinkKind::None => "none",
        }
    }

    fn xdp_cell(&self) -> Cell {
        match (self.xdp, self.kind) {
            (Some(mode), _) => Cell::state(mode, Tone::Good),
            (None, LinkKind::Uplink) => Cell::state("off", Tone::Odd),
            (None, LinkKind::Pod | LinkKind::None) => Cell::new("-"),
        }
    }

    /// Why the link is not served; else why it is served without XDP.
    fn reason(&self) -> &str {
        let reason =
            if self.kind == LinkKind::None { Some(&self.remark) } else { self.xdp_reason.as_ref() };
        reason.map(String::as_str).filter(|reason| !reason.is_empty()).unwrap_or("-")
    }
}

impl Row for LinkView {
    const COLUMNS: &'static [Column] = &[
        Column::new("INDEX"),
        Column::new("NAME"),
        Column::new("KIND"),
        Column::new("TC"),
        Column::new("XDP"),
        Column::new("MASQUERADE"),
        Column::new("REASON"),
        Column::wide("REMARK"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let remark = Some(self.remark.as_str()).filter(|remark| !remark.is_empty());
        vec![
            Cell::new(self.index),
            Cell::new(self.name.as_deref().unwrap_or(GONE)),
            Cell::new(self.kind_name()),
            Cell::new(self.tc.unwrap_or("-")),
            self.xdp_cell(),
            Cell::new(joined(self.masquerade_v4.iter().chain(&self.masquerade_v6))),
            Cell::new(self.reason()),
            Cell::new(remark.unwrap_or(NONE)),
        ]
    }

    /// Links have no namespace: only the name counts.
    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_name(self.name.as_deref().unwrap_or_default())
    }
}
