//! `get status`: is the agent running, how full are the maps, what was dropped and why.

use crate::bpf::maps;
use crate::cli::lbctl::output::{Cell, Column, Format, Row, Style, Tone, list, paint};
use crate::cli::lbctl::place::Place;
use crate::cli::lbctl::resource::services::services;
use crate::cli::lbctl::select::Selector;
use crate::cli::lbctl::source::{Counters, Source};
use crate::cli::lbctl::words::{span, yes_no};
use crate::model::Problem;
use crate::model::status::Status;
use crate::reconcile::Tables;
use anyhow::Result;
use lb_common::layout::VERSION;
use lb_common::verdict::Reason;
use serde::Serialize;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The state of the load balancer on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StatusView {
    /// An agent runs now; else the maps are what the last one left.
    pub(crate) running: bool,
    /// Seconds since it started; null: it does not run.
    pub(crate) up_s: Option<u64>,
    /// What the agent last said; null: there is no status file.
    pub(crate) agent: Option<AgentView>,
    /// The version of all map layouts.
    pub(crate) layout: u32,
    /// Services in the maps.
    pub(crate) services: usize,
    /// Backends in use.
    pub(crate) backends: usize,
    /// Names of what is attached.
    pub(crate) attachments: Vec<String>,
    /// How full the maps are.
    pub(crate) maps: Vec<MapView>,
    /// Packets that were not simply translated.
    pub(crate) reasons: Vec<ReasonView>,
    /// What cannot be done as the objects want it.
    pub(crate) problems: Vec<Problem>,
}

/// What the agent says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AgentView {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) node: String,
    pub(crate) source: String,
    pub(crate) synced: bool,
    /// Connections that another proxy still translates; null: nobody has looked.
    pub(crate) foreign_connections: Option<usize>,
}

/// How full a map is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MapView {
    /// Its name.
    pub(crate) name: &'static str,
    /// Entries in use.
    pub(crate) entries: usize,
    /// How many there may be.
    pub(crate) capacity: u32,
    /// Entries in percent of the capacity, rounded down.
    pub(crate) percent: u64,
    /// A full map forgets what was not used for longest, instead of refusing.
    pub(crate) evicts: bool,
}

/// Packets that were not simply translated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ReasonView {
    /// The name that metrics use.
    pub(crate) name: &'static str,
    /// How many packets.
    pub(crate) packets: u64,
    /// What happened to them.
    pub(crate) meaning: &'static str,
}

/// Looks at a node.
///
/// # Errors
/// A map or the status cannot be read.
pub(crate) fn read(source: &Source<'_>) -> Result<StatusView> {
    let Source { place, maps, tables } = source;
    let status = source.status()?;
    let running = place.agent_alive();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let up_s = |status: &Status| now_s.saturating_sub(status.started_s);
    Ok(StatusView {
        running,
        up_s: status.as_ref().filter(|_| running).map(up_s),
        agent: status.as_ref().map(AgentView::from),
        layout: VERSION,
        services: services(tables, &Counters::default()).len(),
        backends: tables.used_backends(),
        attachments: place.attachments(),
        maps: map_views(place, tables)?,
        reasons: maps.reasons()?.into_iter().map(ReasonView::from).collect(),
        problems: status.map(|status| status.problems).unwrap_or_default(),
    })
}

fn map_views(place: &Place, tables: &Tables) -> Result<Vec<MapView>> {
    let capacities = maps::capacities(&place.maps_folder())?;
    let capacity = |name| capacities.get(name).copied().unwrap_or(0);
    let evicting = maps::evicting(&place.maps_folder())?
        .into_iter()
        .map(|(name, entries)| MapView::new(name, entries, capacity(name), true));
    let refusing =
        tables.entries().map(|(name, entries)| MapView::new(name, entries, capacity(name), false));
    Ok(evicting.chain(refusing).collect())
}

/// The status in the form that people read.
///
/// # Errors
/// Never for a table.
pub(crate) fn text(view: &StatusView, style: Style) -> Result<String> {
    let maps = list(&view.maps, style)?;
    Ok([head(view, style), maps, reasons(view, style)?, problems(&view.problems)].join("\n"))
}

/// What was counted; with `-o wide` also what was not.
fn reasons(view: &StatusView, style: Style) -> Result<String> {
    let all = style.format == Format::Wide;
    let shown = |reason: &&ReasonView| all || reason.packets != 0;
    let reasons: Vec<&ReasonView> = view.reasons.iter().filter(shown).collect();
    if reasons.is_empty() { Ok("Drops:     <none>\n".to_owned()) } else { list(&reasons, style) }
}

fn problems(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "Problems:  <none>\n".to_owned();
    }
    problems.iter().fold("Problems:\n".to_owned(), |text, problem| format!("{text}  {problem}\n"))
}

fn head(view: &StatusView, style: Style) -> String {
    let mut lines = vec![("Agent:", agent_line(view, style))];
    if let Some(agent) = &view.agent {
        lines.push(("Node:", agent.node.clone()));
        lines.push(("Source:", agent.source.clone()));
        lines.push(("Synced:", yes_no(agent.synced).to_owned()));
    }
    if let Some(count) = view.agent.as_ref().and_then(|agent| agent.foreign_connections) {
        lines.push(("Foreign:", foreign_line(count, view.running)));
    }
    lines.push(("Layout:", format!("v{}", view.layout)));
    lines.push(("Services:", format!("{} with {} endpoints", view.services, view.backends)));
    lines.push(("Attached:", format!("{} (pinned links)", view.attachments.len())));
    let mut text = String::new();
    for (label, value) in &lines {
        let _ = writeln!(text, "{label:<11}{value}");
    }
    text
}

/// What is left of a proxy that served the node before; somebody waits for "none".
fn foreign_line(count: usize, running: bool) -> String {
    let verb = if running { "is" } else { "was" };
    let verbs = if running { "are" } else { "were" };
    match count {
        0 => "none".to_owned(),
        1 => format!("1 connection {verb} left to another proxy"),
        _ => format!("{count} connections {verbs} left to another proxy"),
    }
}

fn agent_line(view: &StatusView, style: Style) -> String {
    let word = |word, tone| paint(word, tone, style);
    match (&view.agent, view.running) {
        (Some(agent), true) => {
            let up = span(view.up_s.unwrap_or(0));
            format!(
                "{}, pid {}, version {}, up {up}",
                word("running", Tone::Good),
                agent.pid,
                agent.version
            )
        }
        (Some(agent), false) => {
            format!("{}: the maps are what version {} left", word("down", Tone::Bad), agent.version)
        }
        (None, true) => format!("{}, without a status yet", word("running", Tone::Good)),
        (None, false) => format!("{}: the maps are what it left", word("down", Tone::Bad)),
    }
}

impl From<&Status> for AgentView {
    fn from(status: &Status) -> Self {
        Self {
            pid: status.pid,
            version: status.version.clone(),
            node: status.node.clone(),
            source: status.source.clone(),
            synced: status.synced,
            foreign_connections: status.foreign_connections,
        }
    }
}

impl MapView {
    pub(crate) fn new(name: &'static str, entries: usize, capacity: u32, evicts: bool) -> Self {
        let percent = entries as u64 * 100 / u64::from(capacity.max(1));
        Self { name, entries, capacity, percent, evicts }
    }

    /// A map that evicts is meant to be full one day.
    fn used(&self) -> Cell {
        let tone = match self.percent {
            _ if self.evicts => Tone::Plain,
            95.. => Tone::Bad,
            80.. => Tone::Odd,
            _ => Tone::Plain,
        };
        Cell::state(format!("{}%", self.percent), tone)
    }
}

impl From<(Reason, u64)> for ReasonView {
    fn from((reason, packets): (Reason, u64)) -> Self {
        Self { name: reason.name(), packets, meaning: reason.sentence() }
    }
}

impl Row for MapView {
    const COLUMNS: &'static [Column] = &[
        Column::new("MAP"),
        Column::new("ENTRIES"),
        Column::new("CAPACITY"),
        Column::new("USED"),
        Column::new("WHEN-FULL"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::new(self.name),
            Cell::new(self.entries),
            Cell::new(self.capacity),
            self.used(),
            Cell::new(if self.evicts { "evicts" } else { "refuses" }),
        ]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_name(self.name)
    }
}

impl Row for &ReasonView {
    const COLUMNS: &'static [Column] =
        &[Column::new("REASON"), Column::new("PACKETS"), Column::new("MEANING")];

    fn cells(&self) -> Vec<Cell> {
        vec![Cell::new(self.name), Cell::new(self.packets), Cell::new(self.meaning)]
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        selector.takes_name(self.name)
    }
}
