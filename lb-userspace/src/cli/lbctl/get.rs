//! `lbctl get`: lists of one resource.

use super::output::{self, Console, Format, Row, Style};
use super::place::Place;
use super::resource::{
    affinity, backends, conntrack, endpoints, frontends, links, services, sockets, status,
};
use super::select::{Name, Peer, Selector};
use super::source::Source;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::thread;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  lbctl get svc                    all Services
  lbctl get ep kubia -n default    the endpoints of one Service
  lbctl get services -o json | jq '.items[].cluster_ips'
  lbctl get conntrack -w           flows as they come and go

`lbctl get RESOURCE --help` has more about each";

/// List what is in the maps
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    resource: Resource,
    #[command(flatten)]
    shape: Shape,
}

/// How a list is shown.
#[derive(Debug, Args)]
struct Shape {
    /// Form of the output; json and yaml hold {"items": [...]}
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    /// Show the list again whenever it has changed
    #[arg(short, long, global = true)]
    watch: bool,
    /// How often to look with --watch
    #[arg(long, value_name = "SECONDS", default_value_t = 2, global = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
}

#[derive(Debug, Subcommand)]
enum Resource {
    /// Services, with all their ports
    #[command(visible_aliases = ["svc", "service"], after_help = SERVICES)]
    Services(List),
    /// Endpoints of service ports: who may be chosen
    #[command(visible_aliases = ["ep", "endpoint"], after_help = ENDPOINTS)]
    Endpoints(List),
    /// Addresses and ports that mean a service port
    #[command(visible_aliases = ["fe", "frontend"], after_help = FRONTENDS)]
    Frontends(List),
    /// Cells of the backend table that are in use
    #[command(visible_aliases = ["be", "backend"], after_help = BACKENDS)]
    Backends(List),
    /// Flows: client -> frontend -> backend
    #[command(visible_aliases = ["ct", "flows"], after_help = CONNTRACK)]
    Conntrack(Flows),
    /// Sockets of this node's processes whose peer was replaced
    #[command(visible_aliases = ["sock", "socket"], after_help = SOCKETS)]
    Sockets(List),
    /// Clients of Services with session affinity
    #[command(visible_aliases = ["aff", "affinities"], after_help = AFFINITY)]
    Affinity(List),
    /// Network links: where the programs run, and why not
    #[command(visible_aliases = ["link", "devices"], after_help = LINKS)]
    Links(Named),
    /// The agent, how full maps are, what was dropped
    #[command(visible_alias = "st", after_help = STATUS)]
    Status,
}

const SERVICES: &str = "\
Examples:
  lbctl get svc                     PORT(S) is port:nodePort/protocol
  lbctl get svc default/kubia -o wide

READY/TOTAL (-o wide) counts what `lbctl get endpoints` lists: per port and family";
const ENDPOINTS: &str = "\
Examples:
  lbctl get ep                      USED-FOR says where new connections choose it:
                                    cluster: no Local policy applies, local: one does
  lbctl get ep default/kubia -o wide";
const FRONTENDS: &str = "\
Examples:
  lbctl get fe                      INSIDE is for pods and this node, OUTSIDE for everybody else
  lbctl get fe -n default           *:PORT is a node port: every address that serves node ports

reject answers with a reset or ICMP, drop does not answer";
const BACKENDS: &str = "\
Examples:
  lbctl get be                      the ids that flows and slots name
  lbctl get be -o json | jq '.items[] | select(.generation > 1)'";
const CONNTRACK: &str = "\
Examples:
  lbctl get ct                          every flow: client -> frontend -> backend
  lbctl get ct --service default/kubia --client 10.0.0.0/8
  lbctl get ct --backend 10.244.0.11:8080
  lbctl get ct -o wide                  both halves: what is done to packets of each direction

[snat A]: the backend sees A in place of the client; [hairpin]: the backend is the client";
const SOCKETS: &str = "\
Examples:
  lbctl get sockets                 FRONTEND is the peer that the process sees, BACKEND who it is
  lbctl get sockets default/kubia";
const AFFINITY: &str = "\
Examples:
  lbctl get affinity                who goes where for how long; (this node): its own processes
  lbctl get affinity default/kubia";
const LINKS: &str = "\
Examples:
  lbctl get links                   REASON: why a link is not served, or runs without XDP
  lbctl get links eth0 -o wide";
const STATUS: &str = "\
Examples:
  lbctl get status
  lbctl get status -o json | jq '.reasons[] | select(.packets > 0)'";

/// A list of things that belong to Services.
#[derive(Debug, Args)]
struct List {
    /// Of this Service only: NAME or NAMESPACE/NAME
    name: Option<Name>,
    #[command(flatten)]
    scope: Scope,
}

#[derive(Debug, Args)]
struct Scope {
    /// Of this namespace only
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Of all namespaces: the default, accepted for habit's sake
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

/// A list of flows.
#[derive(Debug, Args)]
struct Flows {
    #[command(flatten)]
    list: List,
    /// Of this Service only: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    service: Option<Name>,
    /// Of this client only: ADDRESS, ADDRESS:PORT or CIDR
    #[arg(long, value_name = "PEER")]
    client: Option<Peer>,
    /// Of this backend only: ADDRESS, ADDRESS:PORT or CIDR
    #[arg(long, value_name = "PEER")]
    backend: Option<Peer>,
}

/// A list of things with a plain name.
#[derive(Debug, Args)]
struct Named {
    /// This one only
    name: Option<String>,
}

impl List {
    fn selector(&self) -> Selector {
        Selector::new(self.name.as_ref(), self.scope.namespace.as_deref())
    }
}

impl Flows {
    fn filter(&self) -> conntrack::Filter {
        let name = self.service.as_ref().or(self.list.name.as_ref());
        let service = Selector::new(name, self.list.scope.namespace.as_deref());
        conntrack::Filter { service, client: self.client, backend: self.backend }
    }
}

/// Shows the list, once or for as long as somebody watches.
pub(super) fn run(options: &Options, place: &Place, console: &mut Console<'_>) -> Result<()> {
    let Shape { output: format, watch, interval } = options.shape;
    let style = Style { format, color: console.color };
    let mut shown = None;
    loop {
        let answer = look(&options.resource, place, style)?;
        if shown.as_ref() != Some(&answer) {
            show(&answer, watch, console)?;
            shown = Some(answer);
        }
        if !watch {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(interval));
    }
}

/// A list as text, and what to say about it besides.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    text: String,
    remark: Option<String>,
}

fn show(answer: &Answer, watch: bool, console: &mut Console<'_>) -> Result<()> {
    /// ECMA-48: cursor to the upper left, erase the display.
    const CLEAR: &str = "\x1b[H\x1b[2J";
    if watch && console.terminal {
        write!(console.out, "{CLEAR}")?;
    }
    write!(console.out, "{}", answer.text)?;
    console.out.flush()?;
    if let Some(remark) = &answer.remark {
        writeln!(console.err, "{remark}")?;
    }
    Ok(())
}

fn look(resource: &Resource, place: &Place, style: Style) -> Result<Answer> {
    let source = Source::open(place)?;
    let tables = &source.tables;
    match resource {
        Resource::Services(list) => answer(
            services::services(tables, &source.counters()?),
            "services",
            &list.selector(),
            style,
        ),
        Resource::Endpoints(list) => answer(
            endpoints::endpoints(tables, &source.counters()?),
            "endpoints",
            &list.selector(),
            style,
        ),
        Resource::Frontends(list) => {
            answer(frontends::frontends(tables), "frontends", &list.selector(), style)
        }
        Resource::Backends(list) => answer(
            backends::backends(tables, &source.counters()?),
            "backends",
            &list.selector(),
            style,
        ),
        Resource::Conntrack(flows) => look_at_flows(&source, &flows.filter(), style),
        Resource::Sockets(list) => answer(
            sockets::sockets(&source.maps.sockets()?, tables),
            "sockets",
            &list.selector(),
            style,
        ),
        Resource::Affinity(list) => {
            let rows = affinity::affinities(&source.maps.affinities()?, tables, source.ages()?);
            answer(rows, "affinities", &list.selector(), style)
        }
        Resource::Links(named) => look_at_links(&source, named, style),
        Resource::Status => look_at_status(&source, style),
    }
}

fn look_at_flows(source: &Source<'_>, filter: &conntrack::Filter, style: Style) -> Result<Answer> {
    let mut flows = conntrack::flows(&source.maps.flows()?, &source.tables, source.ages()?);
    flows.retain(|flow| filter.takes(flow));
    // No flow right now is no mistake: a Service may be idle.
    answer(flows, "flows", &Selector::default(), style)
}

fn look_at_links(source: &Source<'_>, named: &Named, style: Style) -> Result<Answer> {
    let decided = source.status()?.map(|status| status.links).unwrap_or_default();
    let selector = Selector { namespace: None, name: named.name.clone() };
    answer(links::links(&source.tables.links, &decided), "links", &selector, style)
}

fn look_at_status(source: &Source<'_>, style: Style) -> Result<Answer> {
    let view = status::read(source)?;
    let text = if style.format.is_table() {
        status::text(&view, style)
    } else {
        output::document(&view, style.format)
    };
    Ok(Answer { text: text?, remark: None })
}

/// The selected rows as text; a name that nothing has is an error, as with kubectl.
fn answer<R: Row>(
    mut rows: Vec<R>,
    what: &str,
    selector: &Selector,
    style: Style,
) -> Result<Answer> {
    rows.retain(|row| row.is_selected(selector));
    if let (Some(name), true) = (&selector.name, rows.is_empty()) {
        bail!("{what} {name:?} not found");
    }
    let within = selector.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}"));
    let remark = || format!("no {what} found{}", within.unwrap_or_default());
    let is_empty = style.format.is_table() && rows.is_empty();
    Ok(Answer { text: output::list(&rows, style)?, remark: is_empty.then(remark) })
}
